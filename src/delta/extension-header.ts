import { untilNul } from "./tar-block.ts";

/** The fields of an entry's header that its extension headers replace. */
export interface HeaderOverride {
  path?: string;
  size?: number;
}

/** Types of entries that describe the next entry, or all entries: pax(1), "pax Extended Header"; GNU's long names. */
const TYPES = { pax: "x", global: "g", longName: "L", longLink: "K" };

export function isExtension(type: string): boolean {
  return Object.values(TYPES).includes(type);
}

/**
 * Parses the content of an extension header. Ignores malformed records. If one hides a size, the next header is not at the expected
 * offset, and the cutter no longer treats the rest as a tar.
 */
export function readExtension(type: string, body: Buffer): HeaderOverride {
  if (type === TYPES.longName) return { path: untilNul(body) };
  return type === TYPES.pax ? readPax(body) : {};
}

/** Parses records `LENGTH KEY=VALUE\n`, where LENGTH counts the bytes of the whole record. */
function readPax(body: Buffer): HeaderOverride {
  const override: HeaderOverride = {};
  let sparseName: string | undefined;
  for (let at = 0; at < body.length;) {
    const space = body.indexOf(0x20, at);
    const length = space < 0 ? Number.NaN : Number(body.toString("latin1", at, space));
    const equals = body.indexOf(0x3d, at);
    const end = at + length;
    if (!Number.isInteger(length) || equals < space || end <= equals || end > body.length) break;
    const key = body.toString("latin1", space + 1, equals);
    const value = body.toString("utf8", equals + 1, end - 1);
    if (key === "path") override.path = value;
    // The header of a GNU sparse file has a placeholder name.
    if (key === "GNU.sparse.name") sparseName = value;
    if (key === "size" && /^\d+$/.test(value)) override.size = Number(value);
    at = end;
  }
  return sparseName === undefined ? override : { ...override, path: sparseName };
}
