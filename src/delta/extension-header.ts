import { untilNul } from "./tar-block.ts";

/** What an entry's extension headers say instead of its own header. */
export interface HeaderOverride {
  path?: string;
  size?: number;
}

/** Types whose content is about the entry behind it, or about all: pax(1), "pax Extended Header"; GNU's long names. */
const TYPES = { pax: "x", global: "g", longName: "L", longLink: "K" };

export function isExtension(type: string): boolean {
  return Object.values(TYPES).includes(type);
}

/** Reads the content of an extension header. What is malformed says nothing: a tar that means something else shows that soon. */
export function readExtension(type: string, body: Buffer): HeaderOverride {
  if (type === TYPES.longName) return { path: untilNul(body) };
  return type === TYPES.pax ? readPax(body) : {};
}

/** Records are `LENGTH KEY=VALUE\n`, the length that of the whole record, in bytes. */
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
    // GNU's sparse files have another name in their own header.
    if (key === "GNU.sparse.name") sparseName = value;
    if (key === "size" && /^\d+$/.test(value)) override.size = Number(value);
    at = end;
  }
  return sparseName === undefined ? override : { ...override, path: sparseName };
}
