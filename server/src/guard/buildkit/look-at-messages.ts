import type { Http2ServerRequest } from "node:http2";
import { Code, ConnectError } from "@connectrpc/connect";

/** Bytes before a message: whether it is compressed, and its length */
const PREFIX = 5;

/**
 * Has each message of a request looked at before the library reads it. What the library would refuse goes on to it.
 *
 * @param check throws a ConnectError, which is the answer
 */
export function lookAtMessages(
  request: Http2ServerRequest,
  { maxBytes, check }: { maxBytes: number; check: (message: Uint8Array) => void },
): void {
  const chunks = request[Symbol.asyncIterator].bind(request);
  // The library iterates over the request.
  Object.defineProperty(request, Symbol.asyncIterator, {
    value: () => wholeMessages({ [Symbol.asyncIterator]: chunks }, maxBytes, check),
  });
}

async function* wholeMessages(
  chunks: AsyncIterable<Buffer>,
  maxBytes: number,
  check: (message: Uint8Array) => void,
): AsyncGenerator<Buffer> {
  let waiting: Buffer[] = [];
  let size = 0;
  let wanted = PREFIX;
  for await (const chunk of chunks) {
    waiting.push(chunk);
    size += chunk.length;
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
    size = bytes.length - at;
  }
  if (size > 0) yield Buffer.concat(waiting);
}
