import { EngineError } from "../engine-error.ts";

/** Characters of an error message. */
const MAX_WORDS = 4096;

/** Parses a whole answer. Returns undefined if it is empty. `what`: the request, for messages. */
export function parseBody(text: string, what: string): unknown {
  if (text.trim() === "") return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new EngineError(`the answer to ${what} is not JSON`, undefined, { cause: error });
  }
}

/** Returns the message of an error answer: `{"message": …}`, or a proxy's plain text. */
export async function wordsOf(body: AsyncIterable<Buffer>): Promise<string> {
  let text = "";
  for await (const chunk of body) {
    text += chunk.toString("utf8");
    if (text.length > MAX_WORDS) break;
  }
  try {
    const { message } = JSON.parse(text) as { message?: unknown };
    if (typeof message === "string") return message;
  } catch {
    // plain text
  }
  return text.slice(0, MAX_WORDS);
}
