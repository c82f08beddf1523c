import type { ByteRange } from "./registry-content.ts";

/**
 * Parses a `Range` header for a blob of `size` bytes (RFC 9110, section 14). Returns undefined for the whole blob: without a range, and for
 * several ranges, another unit or an invalid range, which a server may ignore. The caller answers `"unsatisfiable"` with 416.
 */
export function readRange(header: string | undefined, size: number): ByteRange | "unsatisfiable" | undefined {
  const [, from = "", to = ""] = /^bytes=([0-9]*)-([0-9]*)$/i.exec(header ?? "") ?? [];
  if (from === "" && to === "") return undefined;
  if (from === "") {
    const length = Math.min(Number(to), size);
    return length === 0 ? "unsatisfiable" : { first: size - length, last: size - 1 };
  }
  const first = Number(from);
  const last = to === "" ? Infinity : Number(to);
  if (last < first) return undefined;
  return first >= size ? "unsatisfiable" : { first, last: Math.min(last, size - 1) };
}

/** Parses the `Content-Range` header of an upload's chunk: `first-last`, inclusive, optionally with the unit and total of HTTP. */
export function readContentRange(header: string): ByteRange | undefined {
  const [, from, to] = /^(?:bytes[ =])?([0-9]{1,15})-([0-9]{1,15})(?:\/(?:[0-9]+|\*))?$/.exec(header) ?? [];
  return from === undefined || Number(to) < Number(from) ? undefined : { first: Number(from), last: Number(to) };
}
