import { InvalidRecipe } from "./recipe-errors.ts";

/**
 * Which of a recipe's pieces are missing, for the way: by turns, how many are there and how many are missing behind them, in 7
 * bits a byte, the lowest first. Nothing for none. Ordinals are those of the recipe, from 0, ascending.
 */
export function encodeMissingPieces(missing: Uint32Array): Buffer {
  const bytes = Buffer.allocUnsafe(maxMissingPiecesBytes((missing.at(-1) ?? -1) + 1));
  let end = 0;
  let told = 0;
  for (let at = 0; at < missing.length;) {
    const first = missing[at] as number;
    let run = 1;
    while (missing[at + run] === first + run) run += 1;
    end = putNumber(bytes, first - told, end);
    end = putNumber(bytes, run, end);
    told = first + run;
    at += run;
  }
  return bytes.subarray(0, end);
}

/** Bytes of the longest list of so many pieces that is well-formed. */
export function maxMissingPiecesBytes(pieces: number): number {
  // A number that is told takes as many pieces, and no more bytes than that. Only the first may be 0.
  return pieces + 1;
}

/** Throws {@link InvalidRecipe} for what is malformed, cut off, or has ordinals of more than so many pieces: it is hostile input. */
export function decodeMissingPieces(bytes: Uint8Array, pieces: number): Uint32Array {
  if (bytes.length > maxMissingPiecesBytes(pieces)) throw new InvalidRecipe("the list of missing pieces is too long");
  // Read twice: a run for every other piece would take more memory than the pieces.
  let count = 0;
  for (const { length } of runsOf(bytes, pieces)) count += length;
  const missing = new Uint32Array(count);
  let at = 0;
  for (const { first, length } of runsOf(bytes, pieces)) for (let i = 0; i < length; i += 1) missing[at++] = first + i;
  return missing;
}

function* runsOf(bytes: Uint8Array, pieces: number): Generator<{ first: number; length: number }> {
  let told = 0;
  for (let at = 0; at < bytes.length;) {
    const here = takeNumber(bytes, at);
    const run = takeNumber(bytes, here.end);
    const first = told + here.value;
    if (run.value === 0 || (here.value === 0 && at > 0) || first + run.value > pieces)
      throw new InvalidRecipe("the list of missing pieces has some that cannot be");
    yield { first, length: run.value };
    told = first + run.value;
    at = run.end;
  }
}

/** Where it ends. */
function putNumber(bytes: Uint8Array, value: number, start: number): number {
  let [rest, at] = [value, start];
  for (; rest > 127; rest >>>= 7) bytes[at++] = (rest & 127) | 128;
  bytes[at++] = rest;
  return at;
}

/** One of at most 28 bits: more than a recipe has pieces. */
function takeNumber(bytes: Uint8Array, start: number): { value: number; end: number } {
  let value = 0;
  for (let at = start; at < start + 4; at += 1) {
    const byte = bytes[at];
    if (byte === undefined) break;
    value |= (byte & 127) << (7 * (at - start));
    if (byte < 128) return { value, end: at + 1 };
  }
  throw new InvalidRecipe("the list of missing pieces is malformed");
}
