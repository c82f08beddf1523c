import type { IncomingMessage } from "node:http";

/** Bytes of a refused body that are read for nothing, so that its client gets to see the answer. */
const MAX_IGNORED = 1024 * 1024;

/**
 * A request's body, chunk by chunk. Leaving the loop early leaves the connection open for the answer; what is left of the
 * body is then for {@link ignoreBody}. Fails when the client goes away in the middle.
 */
export function bodyOf(request: IncomingMessage): AsyncIterable<Buffer> {
  return request.iterator({ destroyOnReturn: false });
}

/** Reads what is left of a body that nobody wants; a client that sends too much of it is cut off. */
export function ignoreBody(request: IncomingMessage): void {
  if (request.readableEnded || request.destroyed) return;
  let left = MAX_IGNORED;
  request.on("error", () => {});
  request.on("data", (chunk: Buffer) => {
    left -= chunk.length;
    if (left < 0) request.destroy();
  });
}

/** The announced length in bytes; undefined for a chunked body. Node's parser refuses a malformed one. */
export function announcedLength(request: IncomingMessage): number | undefined {
  const { "content-length": length } = request.headers;
  return length === undefined ? undefined : Number(length);
}
