import { parsePax } from "./parse-pax.ts";
import { untilNul } from "./read-header.ts";
import { TYPE } from "./tar-header.ts";

/** The maximum size of a pax header or a long name in bytes, as in GNU tar and Go. */
export const MAX_EXTENSION = 1024 * 1024;

/** The properties of an entry that extension headers before it define. */
export interface Extension {
  path?: string;
  target?: string;
  size?: number;
  mtime?: number;
  isSparse?: boolean;
}

/** The types of headers that define properties of the next entry */
export const EXTENSIONS: ReadonlySet<string> = new Set([TYPE.pax, TYPE.globalPax, TYPE.longName, TYPE.longTarget]);

/** Parses the content of an extension header. Throws a `context-invalid` Failure. */
export function readExtension(type: string, body: Buffer): Extension {
  if (type === TYPE.longName) return { path: copied(untilNul(body.toString("latin1"))) };
  if (type === TYPE.longTarget) return { target: copied(untilNul(body.toString("latin1"))) };
  if (type === TYPE.globalPax) return {}; // a comment, in archives of `git archive`; Go's archive/tar ignores all of it
  const records = parsePax(body);
  const [path, target, size, mtime] = ["path", "linkpath", "size", "mtime"].map((key) => records.get(key));
  return {
    ...(path !== undefined && { path: copied(path) }),
    ...(target !== undefined && { target: copied(target) }),
    ...(size !== undefined && { size: /^\d+$/.test(size) ? Number(size) : Number.NaN }),
    ...(mtime !== undefined && Number.isFinite(Number(mtime)) && { mtime: Math.floor(Number(mtime) * 1e6) }),
    ...([...records.keys()].some((key) => key.startsWith("GNU.sparse.")) && { isSparse: true }),
  };
}

/** Copies a substring. V8 implements substrings as views: a name would hold a header of a megabyte in memory. */
function copied(part: string): string {
  return Buffer.from(part, "latin1").toString("latin1");
}
