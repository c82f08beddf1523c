import { parsePax } from "./parse-pax.ts";
import { untilNul } from "./read-header.ts";
import { TYPE } from "./tar-header.ts";

/** Bytes of a pax header or a long name at most. GNU tar and Go allow a megabyte. */
export const MAX_EXTENSION = 1024 * 1024;

/** What the headers before an entry say of it. */
export interface Extension {
  path?: string;
  target?: string;
  size?: number;
  mtime?: number;
  isSparse?: boolean;
}

/** Types of headers that say something of the entry behind them */
export const EXTENSIONS: ReadonlySet<string> = new Set([TYPE.pax, TYPE.globalPax, TYPE.longName, TYPE.longTarget]);

/** Reads the content of such a header. Throws a `context-invalid` Failure. */
export function readExtension(type: string, body: Buffer): Extension {
  if (type === TYPE.longName) return { path: copied(untilNul(body.toString("latin1"))) };
  if (type === TYPE.longTarget) return { target: copied(untilNul(body.toString("latin1"))) };
  if (type === TYPE.globalPax) return {}; // a comment, as `git archive` writes it; Go's archive/tar ignores all of it
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

/** V8 makes a part of a text as a view of the whole: a name would keep a header of a megabyte in memory. */
function copied(part: string): string {
  return Buffer.from(part, "latin1").toString("latin1");
}
