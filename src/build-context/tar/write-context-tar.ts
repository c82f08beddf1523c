import { Readable } from "node:stream";
import { coalesce } from "../../streams/coalesce.ts";
import type { BuildContext, ContextEntry, ContextFile } from "../build-context.ts";
import { readAhead } from "../read-ahead.ts";
import { BLOCK, encodeHeader, encodePaxRecords, MAX_OCTAL, padding, TYPE } from "./tar-header.ts";

/** The maximum length of a name or a link's target in a header, in bytes. */
const SHORT = 100;

/**
 * Writes a context as a tar (POSIX ustar, with pax headers for longer values). Names are written byte by byte, whether they are UTF-8 or
 * not. Times are whole seconds, as `docker build` sends them. No builder includes them in its cache keys. Equal contexts give equal bytes.
 * The stream reads no file before it is read itself, and fails as `BuildContext.read` does. The context stays open.
 */
export function writeContextTar(context: BuildContext, signal?: AbortSignal): Readable {
  return Readable.from(coalesce(chunksOf(context, signal)), { objectMode: false });
}

async function* chunksOf(context: BuildContext, signal?: AbortSignal): AsyncGenerator<Buffer> {
  const contents = readAhead(context, filesOf(context.entries), signal);
  try {
    for (const entry of context.entries) {
      yield headersOf(entry);
      if (entry.kind !== "file" || entry.size === 0) continue;
      const next = await contents.next();
      if (next.done === true) throw new Error(`${entry.path} was not read`);
      yield* next.value.chunks;
      yield padding(entry.size);
    }
    yield Buffer.alloc(2 * BLOCK);
  } finally {
    await contents.return(undefined);
  }
}

function filesOf(entries: readonly ContextEntry[]): ContextFile[] {
  return entries.filter((entry): entry is ContextFile => entry.kind === "file" && entry.size > 0);
}

const TYPES = { file: TYPE.file, folder: TYPE.folder, symlink: TYPE.symlink, "hard-link": TYPE.hardLink };

/** Returns the header of an entry, after a pax header if it needs one. */
export function headersOf(entry: ContextEntry): Buffer {
  const name = entry.kind === "folder" ? `${entry.path}/` : entry.path;
  const target = "target" in entry ? entry.target : "";
  const size = entry.kind === "file" ? entry.size : 0;
  const records: Record<string, string> = {};
  if (name.length > SHORT) records["path"] = name;
  if (target.length > SHORT) records["linkpath"] = target;
  if (size > MAX_OCTAL) records["size"] = String(size);
  const { mode } = entry;
  const mtime = Math.max(0, Math.min(MAX_OCTAL, Math.floor(entry.mtime / 1e6)));
  const header = encodeHeader({
    type: TYPES[entry.kind],
    name: name.slice(0, SHORT),
    target: target.slice(0, SHORT),
    mode,
    size: size > MAX_OCTAL ? 0 : size,
    mtime,
  });
  if (Object.keys(records).length === 0) return header;
  const body = encodePaxRecords(records);
  const pax = encodeHeader({ type: TYPE.pax, name: "PaxHeader", mode: 0o644, size: body.length, mtime });
  return Buffer.concat([pax, body, padding(body.length), header]);
}
