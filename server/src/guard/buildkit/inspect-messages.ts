import type { Http2ServerRequest } from "node:http2";
import { Code, ConnectError } from "@connectrpc/connect";

/** Bytes before a message: a flag for compression, and the length */
const PREFIX_LENGTH = 5;
/** Memory overhead of a chunk of a message, in bytes. A client may send each byte as a chunk. */
const CHUNK_OVERHEAD = 256;

export interface MessageChecks {
  /** The limit of one message */
  maxBytes: number;
  /** Gets each change of the memory that messages occupy, in bytes. It is negative after messages were used. May throw, like `check`. */
  hold: (bytes: number) => void;
  /** Whether a request has many messages, each of which is used when it is complete, or one, which the library holds until the call is over */
  isStream: boolean;
  /** Throws a ConnectError, which becomes the answer. */
  check: (message: Uint8Array) => void;
}

/** Inspects each message of a request before the library parses it. Malformed messages are passed on, because the library rejects them. */
export function inspectMessages(request: Http2ServerRequest, checks: MessageChecks): void {
  const chunks = request[Symbol.asyncIterator].bind(request);
  const { stream } = request;
  let held = 0;
  const holdNow = (bytes: number): void => {
    const more = bytes - held;
    held = bytes;
    checks.hold(more);
  };
  async function* inspected(): AsyncGenerator<Buffer> {
    try {
      yield* wholeMessages({ [Symbol.asyncIterator]: chunks }, checks, holdNow);
    } finally {
      if (checks.isStream || stream.closed) holdNow(0);
      else stream.once("close", () => holdNow(0));
    }
  }
  // The library iterates over the request.
  Object.defineProperty(request, Symbol.asyncIterator, { value: inspected });
}

/** @param holdNow gets the bytes of memory in use */
async function* wholeMessages(
  chunks: AsyncIterable<Buffer>,
  { maxBytes, check, isStream }: MessageChecks,
  holdNow: (bytes: number) => void,
): AsyncGenerator<Buffer> {
  let waiting: Buffer[] = [];
  let size = 0;
  let wanted = PREFIX_LENGTH;
  let passedOn = 0;
  for await (const chunk of chunks) {
    waiting.push(chunk);
    size += chunk.length;
    holdNow(passedOn + size + waiting.length * CHUNK_OVERHEAD);
    if (size < wanted) continue;
    const bytes = Buffer.concat(waiting);
    let at = 0;
    wanted = PREFIX_LENGTH;
    while (bytes.length - at >= PREFIX_LENGTH) {
      const length = bytes.readUInt32BE(at + 1);
      if (length > maxBytes) {
        throw new ConnectError(`a message may have at most ${maxBytes} bytes here`, Code.ResourceExhausted);
      }
      wanted = PREFIX_LENGTH + length;
      if (bytes.length - at < wanted) break;
      check(bytes.subarray(at + PREFIX_LENGTH, at + wanted));
      at += wanted;
      wanted = PREFIX_LENGTH;
    }
    if (at > 0) yield bytes.subarray(0, at);
    // Copied, because a slice would keep the whole buffer in memory.
    waiting = at < bytes.length ? [Buffer.from(bytes.subarray(at))] : [];
    size -= at;
    if (!isStream) passedOn += at;
    holdNow(passedOn + size + waiting.length * CHUNK_OVERHEAD);
  }
  if (size > 0) yield Buffer.concat(waiting);
}

/** Returns a function that limits the memory of all messages of a tenant, because a tenant may begin hundreds of calls and complete none. */
export function limitHeldBytes(maxBytes: number): (tenant: string, bytes: number) => void {
  const held = new Map<string, number>();
  return (tenant, bytes) => {
    const total = (held.get(tenant) ?? 0) + bytes;
    if (total === 0) held.delete(tenant);
    else held.set(tenant, total);
    if (bytes > 0 && total > maxBytes) {
      throw new ConnectError(
        `the messages of all calls together may have at most ${maxBytes} bytes here`,
        Code.ResourceExhausted,
      );
    }
  };
}
