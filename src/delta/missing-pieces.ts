import { InvalidRecipe } from "./recipe-errors.ts";

/**
 * Encodes the list of missing pieces that the receiver sends: alternately the count of present pieces and of missing pieces, each as a
 * varint of 7 bits a byte, lowest bits first. An empty list has no bytes.
 *
 * @param missing ordinals of pieces in the recipe, counted from 0, ascending
 */
export function encodeMissingPieces(missing: Uint32Array): Buffer {
  const bytes = Buffer.allocUnsafe(maxMissingPiecesBytes((missing.at(-1) ?? -1) + 1));
  let end = 0;
  let covered = 0;
  for (let at = 0; at < missing.length;) {
    const first = missing[at] as number;
    let run = 1;
    while (missing[at + run] === first + run) run += 1;
    end = putNumber(bytes, first - covered, end);
    end = putNumber(bytes, run, end);
    covered = first + run;
    at += run;
  }
  return bytes.subarray(0, end);
}

/** Returns the size in bytes of the longest valid list for a recipe of `pieces` pieces. */
export function maxMissingPiecesBytes(pieces: number): number {
  // A number covers as many pieces as its value, and takes no more bytes than that. Only the first may be 0.
  return pieces + 1;
}

/** Decodes a list of missing pieces of a recipe with `pieces` pieces. Throws {@link InvalidRecipe}: the list is hostile input. */
export function decodeMissingPieces(bytes: Uint8Array, pieces: number): Uint32Array {
  if (bytes.length > maxMissingPiecesBytes(pieces)) throw new InvalidRecipe("the list of missing pieces is too long");
  // The list is decoded twice: runs of one piece each, stored as objects, would take more memory than the pieces.
  let count = 0;
  for (const { length } of runsOf(bytes, pieces)) count += length;
  const missing = new Uint32Array(count);
  let at = 0;
  for (const { first, length } of runsOf(bytes, pieces)) for (let i = 0; i < length; i += 1) missing[at++] = first + i;
  return missing;
}

function* runsOf(bytes: Uint8Array, pieces: number): Generator<{ first: number; length: number }> {
  let covered = 0;
  for (let at = 0; at < bytes.length;) {
    const present = takeNumber(bytes, at);
    const run = takeNumber(bytes, present.end);
    const first = covered + present.value;
    if (run.value === 0 || (present.value === 0 && at > 0) || first + run.value > pieces)
      throw new InvalidRecipe("the list of missing pieces has an impossible run");
    yield { first, length: run.value };
    covered = first + run.value;
    at = run.end;
  }
}

/** Returns the offset after the number. */
function putNumber(bytes: Uint8Array, value: number, start: number): number {
  let [rest, at] = [value, start];
  for (; rest > 127; rest >>>= 7) bytes[at++] = (rest & 127) | 128;
  bytes[at++] = rest;
  return at;
}

/** Reads a varint of at most 28 bits, more than `MAX_PIECES` needs. */
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
