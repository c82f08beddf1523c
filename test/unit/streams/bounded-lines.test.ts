import { Readable } from "node:stream";
import { expect, test } from "vitest";
import { boundedLines, LineTooLong } from "../../../src/streams/bounded-lines.ts";

async function linesOf(...chunks: string[]): Promise<string[]> {
  const lines: string[] = [];
  for await (const line of boundedLines(Readable.from(chunks.map((chunk) => Buffer.from(chunk))), 8)) lines.push(line);
  return lines;
}

test("yields complete lines, however the stream is chunked", async () => {
  expect(await linesOf("a\nb", "c", "d\n", "\n€", "\nunfinished".slice(0, 6))).toEqual(["a", "bcd", "", "€"]);
});

test.each([[["123456789\n"]], [["1234", "56789"]]])(
  "throws for a line that is longer than the limit: %j",
  async (chunks) => {
    await expect(linesOf(...chunks)).rejects.toThrow(LineTooLong);
  },
);
