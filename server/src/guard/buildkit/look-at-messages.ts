import type { Http2ServerRequest } from "node:http2";
import { Code, ConnectError } from "@connectrpc/connect";

/** Bytes before a message: whether it is compressed, and its length */
const PREFIX = 5;
/** Bytes that a piece of a message takes beside its content: a client may send one byte in each */
const PIECE = 256;

export interface MessageChecks {
  /** Of one message */
  maxBytes: number;
  /** Called with what comes, in bytes of memory, and with less than 0 when it has been used. May throw, as `check`. */
  hold: (bytes: number) => void;
  /** Whether a request has one message, which the library keeps until the call is over, or many, each of which is used when it is complete */
  isStream: boolean;
  /** Throws a ConnectError, which is the answer. */
  check: (message: Uint8Array) => void;
}

/** Has each message of a request looked at before the library reads it. What the library would refuse goes on to it. */
export function lookAtMessages(request: Http2ServerRequest, checks: MessageChecks): void {
  const chunks = request[Symbol.asyncIterator].bind(request);
  const { stream } = request;
  let held = 0;
  const holdNow = (bytes: number): void => {
    const more = bytes - held;
    held = bytes;
    checks.hold(more);
  };
  async function* looked(): AsyncGenerator<Buffer> {
    try {
      yield* wholeMessages({ [Symbol.asyncIterator]: chunks }, checks, holdNow);
    } finally {
      if (checks.isStream || stream.closed) holdNow(0);
      else stream.once("close", () => holdNow(0));
    }
  }
  // The library iterates over the request.
  Object.defineProperty(request, Symbol.asyncIterator, { value: looked });
}

/** @param holdNow is told how many bytes of memory are in use */
async function* wholeMessages(
  chunks: AsyncIterable<Buffer>,
  { maxBytes, check, isStream }: MessageChecks,
  holdNow: (bytes: number) => void,
): AsyncGenerator<Buffer> {
  let waiting: Buffer[] = [];
  let size = 0;
  let wanted = PREFIX;
  let kept = 0;
  for await (const chunk of chunks) {
    waiting.push(chunk);
    size += chunk.length;
    holdNow(kept + size + waiting.length * PIECE);
    if (size < wanted) continue;
    const bytes = Buffer.concat(waiting);
    let at = 0;
    wanted = PREFIX;
    while (bytes.length - at >= PREFIX) {
      const length = bytes.readUInt32BE(at + 1);
      if (length > maxBytes) {
        throw new ConnectError(`a message may have ${maxBytes} bytes here`, Code.ResourceExhausted);
      }
      wanted = PREFIX + length;
      if (bytes.length - at < wanted) break;
      check(bytes.subarray(at + PREFIX, at + wanted));
      at += wanted;
      wanted = PREFIX;
    }
    if (at > 0) yield bytes.subarray(0, at);
    // A copy: a part of the buffer would keep all of it.
    waiting = at < bytes.length ? [Buffer.from(bytes.subarray(at))] : [];
    size -= at;
    if (!isStream) kept += at;
    holdNow(kept + size + waiting.length * PIECE);
  }
  if (size > 0) yield Buffer.concat(waiting);
}

/** Returns what keeps the messages of a tenant to so many bytes: it may begin hundreds, and complete none, or not end the calls that they belong to. */
export function holdAtMost(maxBytes: number): (tenant: string, bytes: number) => void {
  const held = new Map<string, number>();
  return (tenant, bytes) => {
    const total = (held.get(tenant) ?? 0) + bytes;
    if (total === 0) held.delete(tenant);
    else held.set(tenant, total);
    if (bytes > 0 && total > maxBytes) {
      throw new ConnectError(`the messages of all calls may have ${maxBytes} bytes here`, Code.ResourceExhausted);
    }
  };
}
