import { StringDecoder } from "node:string_decoder";
import { EngineError } from "../engine-error.ts";

/** Characters of a line, to bound memory. An engine's lines have some hundred. */
const MAX_LINE = 1024 * 1024;

/**
 * Parses a stream with one JSON text on each line, as engines report progress (`application/x-ndjson`). Skips empty lines and carriage
 * returns; the last line may lack its line feed. Needs memory for one chunk and one line.
 *
 * @throws EngineError for a line that is not JSON, or is longer than `maxLine`.
 */
export async function* jsonLines(
  chunks: AsyncIterable<Uint8Array>,
  maxLine: number = MAX_LINE,
): AsyncGenerator<unknown, void, undefined> {
  const decoder = new StringDecoder("utf8");
  let rest = "";
  for await (const chunk of chunks) {
    const lines = (rest + decoder.write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength))).split("\n");
    rest = lines.pop() ?? "";
    for (const line of [...lines, rest]) {
      if (line.length > maxLine)
        throw new EngineError(`the engine sent a line of more than ${maxLine} characters: ${excerpt(line)}`);
    }
    for (const line of lines) yield* parse(line);
  }
  yield* parse(rest + decoder.end());
}

function* parse(line: string): Generator<unknown, void, undefined> {
  const text = line.trim();
  if (text === "") return;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new EngineError(`the engine sent a line that is not JSON: ${excerpt(text)}`, undefined, { cause: error });
  }
  yield value;
}

function excerpt(text: string): string {
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
