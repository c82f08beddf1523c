import type { Http2ServerRequest } from "node:http2";
import { Code, ConnectError } from "@connectrpc/connect";

/** Bytes before a message: whether it is compressed, and its length */
const PREFIX = 5;

export interface MessageChecks {
  /** Of one message */
  maxBytes: number;
  /** Called as bytes of a message come that is not complete yet, and with less than 0 when they have gone on. May throw, as `check`. */
  hold: (bytes: number) => void;
  /** Throws a ConnectError, which is the answer. */
  check: (message: Uint8Array) => void;
}

/** Has each message of a request looked at before the library reads it. What the library would refuse goes on to it. */
export function lookAtMessages(request: Http2ServerRequest, checks: MessageChecks): void {
  const chunks = request[Symbol.asyncIterator].bind(request);
  // The library iterates over the request.
  Object.defineProperty(request, Symbol.asyncIterator, {
    value: () => wholeMessages({ [Symbol.asyncIterator]: chunks }, checks),
  });
}

async function* wholeMessages(
  chunks: AsyncIterable<Buffer>,
  { maxBytes, hold, check }: MessageChecks,
): AsyncGenerator<Buffer> {
  let waiting: Buffer[] = [];
  let size = 0;
  let wanted = PREFIX;
  try {
    for await (const chunk of chunks) {
      waiting.push(chunk);
      size += chunk.length;
      hold(chunk.length);
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
      waiting = [bytes.subarray(at)];
      size -= at;
      hold(-at);
    }
    if (size > 0) yield Buffer.concat(waiting);
  } finally {
    hold(-size);
  }
}

/** Returns what keeps the messages of a tenant that are not complete to so many bytes: it may begin hundreds, and complete none. */
export function holdAtMost(maxBytes: number): (tenant: string, bytes: number) => void {
  const held = new Map<string, number>();
  return (tenant, bytes) => {
    const total = (held.get(tenant) ?? 0) + bytes;
    if (total === 0) held.delete(tenant);
    else held.set(tenant, total);
    if (bytes > 0 && total > maxBytes) {
      throw new ConnectError(`messages that are not complete may have ${maxBytes} bytes here`, Code.ResourceExhausted);
    }
  };
}
