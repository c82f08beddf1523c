import { InvalidImage } from "./manifest.ts";

export interface JsonLimits {
  /** Of lists and objects within each other. */
  depth: number;
  /** Lists, objects, and what they hold, all together. */
  values: number;
}

const [QUOTE, BACKSLASH, COMMA] = [0x22, 0x5c, 0x2c];
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d];

/**
 * Parses JSON (RFC 8259, UTF-8) that somebody else wrote. What it would cost is counted first, in one pass without an allocation: of a few
 * bytes each, values take many times the text's memory, and what is nested too deeply can be parsed by V8 but not be written again.
 * Throws `InvalidImage`. `what`: for messages, "index.json".
 */
export function parseBoundedJson(bytes: Buffer, what: string, limits: JsonLimits): unknown {
  let [depth, values] = [0, 0];
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at];
    if (byte === QUOTE) at = endOfText(bytes, at);
    else if (byte === COMMA) values += 1;
    else if (byte === CLOSE_LIST || byte === CLOSE_OBJECT) depth -= 1;
    else if (byte === OPEN_LIST || byte === OPEN_OBJECT) {
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

/** Where the quote is that ends the text which begins `at` one. A backslash escapes what follows it. */
function endOfText(bytes: Buffer, at: number): number {
  let end = at;
  let escapes: number;
  do {
    end = bytes.indexOf(QUOTE, end + 1);
    if (end === -1) return bytes.length;
    escapes = 0;
    while (bytes[end - 1 - escapes] === BACKSLASH) escapes += 1;
  } while (escapes % 2 === 1);
  return end;
}
