import { constants, type Http2Stream } from "node:http2";

/**
 * Makes a stream that goes away before its time a reset, on both ends, whatever made it go.
 *
 * Node's HTTP/2 streams emit a clean "end" when they are destroyed without an error, or reset with NO_ERROR or CANCEL,
 * here and at the far end, and also when the session goes (`Http2Stream._destroy` pushes null; lib/internal/http2/core.js).
 * A download that was cut short would look complete. Only HTTP/2 itself, once both directions have ended, may close without an error.
 */
export function resetUnlessComplete(stream: Http2Stream): void {
  const destroy = stream._destroy.bind(stream);
  stream._destroy = (error, done) => {
    const complete = stream.closed && stream.rstCode === constants.NGHTTP2_NO_ERROR;
    destroy(error ?? (complete ? null : new Error("the stream was cut short")), done);
  };
}
