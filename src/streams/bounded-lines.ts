import type { Readable } from "node:stream";

/** Thrown for a line without an end. */
export class LineTooLong extends Error {
  override readonly name = "LineTooLong";
}

/**
 * Yields the lines of a text stream, without their ends, and destroys the stream when it is not read to its end. What follows the last line end
 * is no line. Throws {@link LineTooLong} after more than `max` bytes without one.
 */
export async function* boundedLines(stream: Readable, max: number): AsyncGenerator<string> {
  let pending: Buffer[] = [];
  let length = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    let from = 0;
    for (let end = chunk.indexOf(0x0a); end !== -1; end = chunk.indexOf(0x0a, from)) {
      const line = Buffer.concat([...pending, chunk.subarray(from, end)]).toString("utf8");
      [pending, length, from] = [[], 0, end + 1];
      if (Buffer.byteLength(line) > max) throw new LineTooLong(`a line is longer than ${max} bytes`);
      yield line;
    }
    pending.push(chunk.subarray(from));
    length += chunk.length - from;
    if (length > max) throw new LineTooLong(`a line is longer than ${max} bytes`);
  }
}
