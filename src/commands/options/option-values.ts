import { isTag } from "../../image/reference.ts";
import { parsePlatform, type Platform } from "../../image/platform.ts";
import { InvalidCompressOption, parseCompressOption, type CompressOption } from "../../packing/compress-option.ts";
import { InvalidValue } from "./command-definition.ts";

/** Functions that parse the values of options. Each function throws {@link InvalidValue}. */

/** --compress */
export function parseCompress(text: string): CompressOption {
  try {
    return parseCompressOption(text);
  } catch (error) {
    throw error instanceof InvalidCompressOption ? new InvalidValue(error.message) : error;
  }
}

/** --max-size, as for docker's own options (docker/go-units): bytes, or a number with a letter for a power of 1024. */
export function parseSize(text: string): number {
  const [, number, unit = ""] = /^(\d+(?:\.\d+)?)([kmgt]?)(?:i?b)?$/i.exec(text) ?? [];
  if (number === undefined) throw new InvalidValue("Expected a number of bytes, or one with k, m, g or t.");
  return Math.floor(Number(number) * 1024 ** " kmgt".indexOf(unit.toLowerCase() || " "));
}

/** Minimum bytes a second. rsync treats a lower limit as none, and a tunnel could not send a sign of life in time. */
const LEAST_RATE = 512;

/** --bwlimit, as for rsync: KiB, or a number with a unit: powers of 1024 (`m`, `mib`), powers of 1000 (`mb`), or bytes (`b`). */
export function parseRate(text: string): number {
  const [, number, unit = "k"] = /^(\d+(?:\.\d+)?)(b|[kmgtp](?:i?b)?)?$/.exec(text.toLowerCase()) ?? [];
  if (number === undefined) throw new InvalidValue("Expected KiB a second, or a number with a unit, e.g. 1.5m.");
  const base = unit.length === 2 ? 1000 : 1024;
  const rate = Number(number) * base ** "bkmgtp".indexOf(unit.charAt(0));
  return checkRate(rate === 0 ? 0 : Math.max(1, Math.floor(rate)));
}

/** Bytes a second, as a number. */
export function checkRate(rate: number): number {
  if (rate === 0 || (rate >= LEAST_RATE && Number.isSafeInteger(rate))) return rate;
  throw new InvalidValue(`Expected at least ${LEAST_RATE} bytes a second, or 0 for no limit.`);
}

/** --platform */
export function parsePlatformOption(text: string): Platform {
  const platform = parsePlatform(text);
  if (platform !== undefined) return platform;
  throw new InvalidValue("Expected OS/ARCH or OS/ARCH/VARIANT, e.g. linux/arm64.");
}

/** --timeout, in seconds. Returns ms. */
export function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (seconds > 0 && seconds <= 86_400) return seconds * 1000;
  throw new InvalidValue("Expected a number of seconds above 0.");
}

/** --older-than. Returns ms. */
export function parseAge(text: string): number {
  const [, number = "", unit = ""] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  if (unit === "") throw new InvalidValue("Expected a number with s, m, h or d, e.g. 7d.");
  return Number(number) * { s: 1, m: 60, h: 3600, d: 86_400 }[unit as "s" | "m" | "h" | "d"] * 1000;
}

/** --registry. Returns the text; chooseRegistry parses it, because the result also depends on the environment. */
export function checkRegistry(text: string): string {
  if (text === "embedded" || text === "container" || text.includes(":")) return text;
  throw new InvalidValue("Expected embedded, container or HOST:PORT.");
}

/** --keep. With 1, the next transfer would have no delta base. */
export function parseKeep(text: string): number {
  const count = Number(text);
  if (Number.isSafeInteger(count) && count >= 2) return count;
  throw new InvalidValue(
    "Expected at least 2: the image that arrives, and the previous one, which the next delta needs.",
  );
}

/** --tag-also */
export function parseTag(text: string): string {
  if (isTag(text)) return text;
  throw new InvalidValue("Expected a tag without a name, e.g. latest.");
}

/** --strip: number of leading folders of each path. */
export function parseStrip(text: string): number {
  if (/^\d{1,2}$/.test(text)) return Number(text);
  throw new InvalidValue("Expected a number from 0 to 99.");
}
