import { Failure } from "../../output/errors.ts";

/**
 * Parses the records of a pax header, `LENGTH KEY=VALUE\n` (pax(1), "pax Extended Header"). LENGTH counts the bytes of the record. Values
 * have one character for each byte. Throws a `context-invalid` Failure for malformed records, which may hide the size of the next entry.
 */
export function parsePax(body: Buffer): Map<string, string> {
  const records = new Map<string, string>();
  const text = body.toString("latin1");
  for (let at = 0; at < text.length;) {
    const space = text.indexOf(" ", at);
    const digits = space < 0 ? "" : text.slice(at, space);
    const end = at + Number(digits);
    const equals = text.indexOf("=", space);
    const isRecord = /^[1-9]\d{0,7}$/.test(digits) && equals > space && equals < end && text[end - 1] === "\n";
    if (!isRecord) throw new Failure("context-invalid", "the archive of the context has a damaged pax header");
    records.set(text.slice(space + 1, equals), text.slice(equals + 1, end - 1));
    at = end;
  }
  return records;
}
