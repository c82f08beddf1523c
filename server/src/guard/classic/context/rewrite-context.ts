import { Readable } from "node:stream";
import {
  coalesce,
  TAR_BLOCK,
  tarHeadersOf,
  tarPadding,
  type ContextEntry,
  type ContextFile,
} from "docker-over-ssh/builds";
import { Refusal } from "../../refusal.ts";
import { contextTooLarge } from "../../limits/refusals.ts";
import { decompress } from "./decompress.ts";
import { checkEntry, dockerfilePath, textOfPath } from "./entry.ts";
import { IGNORE_FILE, ignoreFileWith, isIgnored } from "./ignore-file.ts";
import { KeptFiles } from "./kept-files.ts";
import { tarEntries } from "./tar-entries.ts";

export interface ContextOptions {
  /** As the request names it, e.g. `./Dockerfile` */
  dockerfile: string;
  /** Bytes of the tar */
  limit: number;
  /** Left out: a million */
  maxEntries?: number;
  signal: AbortSignal;
  /** Checks the Dockerfile, when all of the context has been read, and returns the one that the engine gets */
  rewrite: (dockerfile: Buffer) => Promise<string>;
}

/** A context as the engine gets it. */
export interface RewrittenContext {
  /** The name of the Dockerfile for the engine */
  dockerfile: string;
  /** A tar. It fails with a Refusal. The caller reads it to its end, or destroys it. */
  tar: Readable;
}

/** Large source trees with their dependencies have half of this. */
const MAX_ENTRIES = 1_000_000;
const DEFAULT = "Dockerfile";
/** The same in each build, because it is in .dockerignore, which is part of the cache key of `COPY . /` */
const OURS = ".docker-over-ssh-guard.dockerfile";
/**
 * The folder of the context itself, which engines ignore. It comes first because engines detect compression by the first bytes, which would otherwise be
 * the tenant's: a file whose name begins like a zstd frame or a bzip2 block could hide another tar in its content, with another Dockerfile.
 */
const ROOT: ContextEntry = { kind: "folder", path: ".", mode: 0o755, mtime: 0 };

/**
 * Reads a context and writes it anew as it arrives: the same files, with headers of ours, and at the end a Dockerfile under a name of ours, which the engine
 * takes instead of the tenant's. The engine removes it from the context again, as its last line of .dockerignore says (the way of docker for a Dockerfile
 * from stdin). Owns `source`.
 */
export function rewriteContext(source: Readable, options: ContextOptions): RewrittenContext {
  const path = dockerfilePath(options.dockerfile);
  const candidates = path === DEFAULT ? [DEFAULT, DEFAULT.toLowerCase()] : [path];
  const tar = Readable.from(coalesce(written(source, candidates, options)), { objectMode: false });
  return { dockerfile: OURS, tar };
}

async function* written(source: Readable, candidates: readonly string[], options: ContextOptions) {
  const kept = new KeptFiles([...candidates, IGNORE_FILE]);
  try {
    yield tarHeadersOf(ROOT);
    yield* entries(source, kept, options);
    yield* ending(kept, candidates, options);
    yield Buffer.alloc(2 * TAR_BLOCK);
  } finally {
    source.destroy();
  }
}

/** Yields all entries but those that are kept. */
async function* entries(source: Readable, kept: KeptFiles, options: ContextOptions): AsyncGenerator<Buffer> {
  const { limit, signal, maxEntries = MAX_ENTRIES } = options;
  let count = 0;
  let copied = 0;
  try {
    for await (const given of tarEntries(decompress(source, limit))) {
      if (++count > maxEntries) throw tooMany(maxEntries);
      const entry = checkEntry(given);
      const { path, kind } = entry;
      if (path === "") continue;
      if (path.split("/", 1)[0] === OURS) throw reservedName();
      if (await kept.take(entry, given.content)) continue;
      // The kept file comes at the end, so the link becomes a copy.
      const linked = kind === "hard-link" ? kept.get(entry.target) : undefined;
      if (linked !== undefined) {
        copied += TAR_BLOCK + linked.content.length;
        if (copied > limit) throw contextTooLarge(limit);
        yield fileOf({ ...linked.entry, path }, linked.content);
        continue;
      }
      yield tarHeadersOf(entry);
      if (kind !== "file") continue;
      yield* given.content;
      yield tarPadding(entry.size);
    }
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof Refusal) throw error;
    throw new Refusal("context.invalid", "the context is not a tar, or a damaged one", {
      statusCode: 400,
      cause: error,
    });
  }
}

/** Yields the tenant's Dockerfile and ignore file, and the guard's. */
async function* ending(
  kept: KeptFiles,
  candidates: readonly string[],
  { dockerfile, rewrite, signal }: ContextOptions,
): AsyncGenerator<Buffer> {
  const link = kept.link();
  if (link !== undefined) {
    const hint = link === IGNORE_FILE ? "" : ", or name its target with -f";
    throw new Refusal("dockerfile.link", `${textOfPath(link)} is a link in the context: send the file itself${hint}`, {
      statusCode: 400,
    });
  }
  const found = candidates.map((path) => kept.get(path)).find((file) => file !== undefined);
  if (found === undefined) throw missing(`Cannot locate specified Dockerfile: ${dockerfile.slice(0, 200)}`);
  if (found.content.length === 0) throw missing(`the Dockerfile (${textOfPath(found.entry.path)}) cannot be empty`);
  const text = await rewrite(found.content);
  const ignore = kept.get(IGNORE_FILE);
  for (const file of kept.all()) {
    if (file === ignore) continue;
    if (file === found && (await isIgnored(ignore?.content, file.entry.path, signal))) continue;
    yield fileOf(file.entry, file.content);
  }
  yield fileOf(ignore?.entry ?? ownFile(IGNORE_FILE), ignoreFileWith(ignore?.content, OURS));
  yield fileOf(ownFile(OURS), Buffer.from(text));
}

function ownFile(path: string): ContextFile {
  return { kind: "file", path, mode: 0o644, mtime: 0, size: 0 };
}

function fileOf(entry: ContextFile, content: Buffer): Buffer {
  const size = content.length;
  return Buffer.concat([tarHeadersOf({ ...entry, size }), content, tarPadding(size)]);
}

function reservedName(): Refusal {
  return new Refusal("context.entry", `the context has an entry that is not allowed: ${OURS} is the guard's own name`, {
    statusCode: 400,
  });
}

function tooMany(most: number): Refusal {
  return new Refusal("context.entries", `the context has more than ${most} entries`, { statusCode: 413 });
}

function missing(message: string): Refusal {
  return new Refusal("dockerfile.missing", message, { statusCode: 400 });
}
