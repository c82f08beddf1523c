import { InvalidImage } from "./invalid-image.ts";

/** Parses a JSON object (or array). `what` names it in messages: "manifest". Throws {@link InvalidImage} for anything else. */
export function parseJsonObject(bytes: Uint8Array, what: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString("utf8"));
    if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  } catch {
    // falls through
  }
  throw new InvalidImage(`its ${what} is not JSON`);
}

export interface JsonLimits {
  /** Nesting depth of arrays and objects. */
  depth: number;
  /** Arrays, objects and their elements, all together. */
  values: number;
}

const [QUOTE, BACKSLASH, COMMA] = [0x22, 0x5c, 0x2c];
const [OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d];

/**
 * Parses untrusted JSON (RFC 8259, UTF-8) of limited depth and size. Counts both first, in one pass without an allocation: small parsed
 * values need many times the memory of their text, and V8 parses nesting that it cannot serialise again.
 * Throws {@link InvalidImage}. `what` names the text in messages: "index.json".
 */
export function parseBoundedJson(bytes: Buffer, what: string, limits: JsonLimits): unknown {
  let [depth, values] = [0, 0];
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at];
    if (byte === QUOTE) at = endOfString(bytes, at);
    else if (byte === COMMA) values += 1;
    else if (byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) depth -= 1;
    else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) {
      values += 1;
      depth += 1;
      if (depth > limits.depth) throw new InvalidImage(`its ${what} is nested more than ${limits.depth} levels deep`);
    }
    if (values > limits.values) throw new InvalidImage(`its ${what} has more than ${limits.values} values`);
  }
  try {
    return JSON.parse(bytes.toString("utf8"));
  } catch {
    throw new InvalidImage(`its ${what} is not JSON`);
  }
}

/** Returns the index of the quote that closes the string opened at `start`; the length of `bytes` if there is none. */
function endOfString(bytes: Buffer, start: number): number {
  let end = start;
  let escapes: number;
  do {
    end = bytes.indexOf(QUOTE, end + 1);
    if (end === -1) return bytes.length;
    escapes = 0;
    while (bytes[end - 1 - escapes] === BACKSLASH) escapes += 1;
  } while (escapes % 2 === 1);
  return end;
}
