import type { PackedSize } from "../packing/packed-sizes.ts";
import { mismatch } from "./registry-client-errors.ts";

/** The maximum length of an answer in characters. */
const MAX_ANSWER = 200;
/** Bytes. No layer is nearly as large. */
const MAX_SIZE = 2 ** 50;

/** Parses the answer to a request for the size of a blob or of pieces, which is untrusted input. Throws a Failure. */
export async function sizeIn(answer: AsyncIterable<Buffer>): Promise<PackedSize> {
  let text = "";
  for await (const chunk of answer) if ((text += chunk.toString("utf8")).length > MAX_ANSWER) break;
  try {
    if (text.length > MAX_ANSWER) throw new Error("too long");
    const { bytes, isExact } = JSON.parse(text) as Record<string, unknown>;
    if (typeof bytes === "number" && Number.isInteger(bytes) && bytes >= 0 && bytes <= MAX_SIZE)
      return { bytes, isExact: isExact === true };
  } catch {
    // thrown below
  }
  throw mismatch("the size of a layer");
}
