import { constants, type Http2Stream } from "node:http2";

/**
 * Makes every early end of a stream a reset on both sides, whatever its cause.
 *
 * Node's HTTP/2 streams emit a clean "end" when they are destroyed without an error, or reset with NO_ERROR or CANCEL, on both sides, and
 * also when the session ends (`Http2Stream._destroy` pushes null; lib/internal/http2/core.js). A truncated download would look complete.
 * Only HTTP/2 itself, after both directions have ended, closes a stream without an error.
 */
export function resetUnlessComplete(stream: Http2Stream): void {
  const destroy = stream._destroy.bind(stream);
  stream._destroy = (error, done) => {
    const complete = stream.closed && stream.rstCode === constants.NGHTTP2_NO_ERROR;
    destroy(error ?? (complete ? null : new Error("the stream ended early")), done);
  };
}
