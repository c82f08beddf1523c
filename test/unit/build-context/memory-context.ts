import type { BuildContext, ContextEntry, ContextFile } from "../../../src/build-context/build-context.ts";
import { comparePaths, toEntryPath } from "../../../src/build-context/paths.ts";

export type MemoryEntry =
  | { content: string | Buffer; mode?: number; mtime?: number; fingerprint?: string }
  | { symlink: string }
  | { hardLink: string }
  | { folder: true; mode?: number };

/** In µs. Long ago, so that no fingerprint is too recent. */
export const MTIME = 1_600_000_000_123_456;

export interface MemoryContext extends BuildContext {
  /** The paths that have been read. */
  reads: string[];
  /** Replaces the content of a file without changing its fingerprint. */
  contents: Map<string, Buffer>;
}

/** Creates a context from entries in memory, with their parent folders. */
export function memoryContext(files: Record<string, MemoryEntry>): MemoryContext {
  const entries = new Map<string, ContextEntry>();
  const contents = new Map<string, Buffer>();
  for (const [name, entry] of Object.entries(files)) {
    const path = toEntryPath(name);
    const names = path.split("/");
    for (let depth = 1; depth < names.length; depth += 1) {
      const folder = names.slice(0, depth).join("/");
      if (!entries.has(folder)) entries.set(folder, { kind: "folder", path: folder, mode: 0o755, mtime: MTIME });
    }
    entries.set(path, entryOf(path, entry));
    if ("content" in entry) contents.set(path, Buffer.from(entry.content));
  }
  const reads: string[] = [];
  return {
    entries: [...entries.values()].toSorted((one, other) => comparePaths(one.path, other.path)),
    reads,
    contents,
    async *read({ path }: ContextFile) {
      reads.push(path);
      const content = contents.get(path) ?? Buffer.alloc(0);
      for (let at = 0; at < content.length; at += 64 * 1024) yield content.subarray(at, at + 64 * 1024);
    },
    async [Symbol.asyncDispose]() {},
  };
}

function entryOf(path: string, entry: MemoryEntry): ContextEntry {
  if ("symlink" in entry)
    return { kind: "symlink", path, mode: 0o777, mtime: MTIME, target: toEntryPath(entry.symlink) };
  if ("hardLink" in entry)
    return { kind: "hard-link", path, mode: 0o644, mtime: MTIME, target: toEntryPath(entry.hardLink) };
  if ("folder" in entry) return { kind: "folder", path, mode: entry.mode ?? 0o755, mtime: MTIME };
  const { content, mode = 0o644, mtime = MTIME } = entry;
  const size = Buffer.from(content).length;
  const print = entry.fingerprint ?? Buffer.from(content).toString("hex").slice(0, 40);
  const fingerprint = `${print}-${mtime.toString(36)}`; // the ctime is at its end
  return { kind: "file", path, mode, mtime, size, fingerprint };
}

/** Reads all files of a context. */
export async function contentsOf(context: BuildContext): Promise<Map<string, string>> {
  const contents = new Map<string, string>();
  for (const entry of context.entries) {
    if (entry.kind !== "file") continue;
    const chunks: Uint8Array[] = [];
    for await (const chunk of context.read(entry)) chunks.push(chunk);
    contents.set(entry.path, Buffer.concat(chunks).toString("latin1"));
  }
  return contents;
}
