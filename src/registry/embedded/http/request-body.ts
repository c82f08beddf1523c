import type { IncomingMessage } from "node:http";

/** Bytes of a refused body that are read and discarded, so that the client reads the answer. */
const MAX_IGNORED = 1024 * 1024;

/**
 * Iterates over a request's body. If the caller leaves the loop early, the connection stays open for the answer, and {@link ignoreBody}
 * discards the rest. Fails if the client closes the connection.
 */
export function bodyOf(request: IncomingMessage): AsyncIterable<Buffer> {
  return request.iterator({ destroyOnReturn: false });
}

/** Discards the rest of a body, and closes the connection if the rest is too long. */
export function ignoreBody(request: IncomingMessage): void {
  if (request.readableEnded || request.destroyed) return;
  let left = MAX_IGNORED;
  request.on("error", () => {});
  request.on("data", (chunk: Buffer) => {
    left -= chunk.length;
    if (left < 0) request.destroy();
  });
}

/** Returns the announced length in bytes; undefined for a chunked body. Node's parser rejects a malformed length. */
export function announcedLength(request: IncomingMessage): number | undefined {
  const { "content-length": length } = request.headers;
  return length === undefined ? undefined : Number(length);
}
