import type { Readable } from "node:stream";

/** Thrown for a line that is too long. */
export class LineTooLong extends Error {
  override readonly name = "LineTooLong";
}

/**
 * Yields the lines of a text stream, without line ends. Destroys the stream if it is not read to its end. Drops the text after the last
 * line end. Throws {@link LineTooLong} if a line has more than `max` bytes.
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
