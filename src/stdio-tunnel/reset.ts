import { constants, type Http2Stream } from "node:http2";

/**
 * Makes every early end of a stream a reset on both sides, whatever its cause.
 *
 * Node's HTTP/2 streams emit a clean "end" on both sides when they are destroyed without an error, or reset with NO_ERROR or CANCEL, and
 * also when the session ends (`Http2Stream._destroy` pushes null; lib/internal/http2/core.js). A truncated download would look complete.
 * With this function, only HTTP/2 itself closes a stream without an error, after both directions have ended.
 */
export function resetUnlessComplete(stream: Http2Stream): void {
  const destroy = stream._destroy.bind(stream);
  stream._destroy = (error, done) => {
    const complete = stream.closed && stream.rstCode === constants.NGHTTP2_NO_ERROR;
    destroy(error ?? (complete ? null : new Error("the stream ended early")), done);
  };
}
