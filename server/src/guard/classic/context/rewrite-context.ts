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
import { DeferredFiles } from "./deferred-files.ts";
import { tarEntries } from "./tar-entries.ts";

export interface ContextOptions {
  /** The path in the request, e.g. `./Dockerfile` */
  dockerfile: string;
  /** Maximum bytes of the tar */
  limit: number;
  /** Default: a million */
  maxEntries?: number;
  signal: AbortSignal;
  /** Checks the Dockerfile after the whole context was read, and returns the one that the engine gets */
  rewrite: (dockerfile: Buffer) => Promise<string>;
}

/** The context that the engine gets. */
export interface RewrittenContext {
  /** The name of the Dockerfile in the rewritten context */
  dockerfile: string;
  /** A tar, which can fail with a Refusal. The caller must read it to its end or destroy it. */
  tar: Readable;
}

/** Large source trees with their dependencies have half as many. */
const MAX_ENTRIES = 1_000_000;
const DEFAULT_DOCKERFILE = "Dockerfile";
/** The guard's name for the Dockerfile. It is the same in each build, because it is in .dockerignore, which is part of the cache key of `COPY . /`. */
const GUARD_DOCKERFILE = ".docker-over-ssh-guard.dockerfile";
/**
 * The folder of the context itself, which engines ignore. It is the first entry, because engines detect compression by the first bytes, which would otherwise
 * be the tenant's. A file whose name begins like a zstd frame or a bzip2 block could hide another tar in its content, with another Dockerfile.
 */
const ROOT: ContextEntry = { kind: "folder", path: ".", mode: 0o755, mtime: 0 };

/**
 * Parses a context and rewrites it as it arrives. The result has the same files, with headers that the guard writes. At its end is a Dockerfile under a name of
 * the guard, which the engine reads instead of the tenant's. The last line of .dockerignore makes the engine remove this Dockerfile from the context, which is
 * docker's method for a Dockerfile from stdin. Owns `source`.
 */
export function rewriteContext(source: Readable, options: ContextOptions): RewrittenContext {
  const path = dockerfilePath(options.dockerfile);
  const candidates = path === DEFAULT_DOCKERFILE ? [DEFAULT_DOCKERFILE, DEFAULT_DOCKERFILE.toLowerCase()] : [path];
  const tar = Readable.from(coalesce(rewritten(source, candidates, options)), { objectMode: false });
  return { dockerfile: GUARD_DOCKERFILE, tar };
}

async function* rewritten(source: Readable, candidates: readonly string[], options: ContextOptions) {
  const deferred = new DeferredFiles([...candidates, IGNORE_FILE]);
  try {
    yield tarHeadersOf(ROOT);
    yield* entries(source, deferred, options);
    yield* ending(deferred, candidates, options);
    yield Buffer.alloc(2 * TAR_BLOCK);
  } finally {
    source.destroy();
  }
}

/** Yields all entries except the deferred files. */
async function* entries(source: Readable, deferred: DeferredFiles, options: ContextOptions): AsyncGenerator<Buffer> {
  const { limit, signal, maxEntries = MAX_ENTRIES } = options;
  let count = 0;
  let copied = 0;
  try {
    for await (const given of tarEntries(decompress(source, limit))) {
      if (++count > maxEntries) throw tooMany(maxEntries);
      const entry = checkEntry(given);
      const { path, kind } = entry;
      if (path === "") continue;
      if (path.split("/", 1)[0] === GUARD_DOCKERFILE) throw reservedName();
      if (await deferred.take(entry, given.content)) continue;
      // The deferred file is written at the end, so the link becomes a copy.
      const linked = kind === "hard-link" ? deferred.get(entry.target) : undefined;
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
  deferred: DeferredFiles,
  candidates: readonly string[],
  { dockerfile, rewrite, signal }: ContextOptions,
): AsyncGenerator<Buffer> {
  const link = deferred.link();
  if (link !== undefined) {
    const hint = link === IGNORE_FILE ? "" : ", or name its target with -f";
    throw new Refusal("dockerfile.link", `${textOfPath(link)} is a link in the context: send the file itself${hint}`, {
      statusCode: 400,
    });
  }
  const found = candidates.map((path) => deferred.get(path)).find((file) => file !== undefined);
  if (found === undefined) throw missing(`Cannot locate specified Dockerfile: ${dockerfile.slice(0, 200)}`);
  if (found.content.length === 0) throw missing(`the Dockerfile (${textOfPath(found.entry.path)}) cannot be empty`);
  const text = await rewrite(found.content);
  const ignore = deferred.get(IGNORE_FILE);
  for (const file of deferred.all()) {
    if (file === ignore) continue;
    if (file === found && (await isIgnored(ignore?.content, file.entry.path, signal))) continue;
    yield fileOf(file.entry, file.content);
  }
  yield fileOf(ignore?.entry ?? ownFile(IGNORE_FILE), ignoreFileWith(ignore?.content, GUARD_DOCKERFILE));
  yield fileOf(ownFile(GUARD_DOCKERFILE), Buffer.from(text));
}

function ownFile(path: string): ContextFile {
  return { kind: "file", path, mode: 0o644, mtime: 0, size: 0 };
}

function fileOf(entry: ContextFile, content: Buffer): Buffer {
  const size = content.length;
  return Buffer.concat([tarHeadersOf({ ...entry, size }), content, tarPadding(size)]);
}

function reservedName(): Refusal {
  return new Refusal(
    "context.entry",
    `the context has an entry that is not allowed: ${GUARD_DOCKERFILE} is the guard's own name`,
    {
      statusCode: 400,
    },
  );
}

function tooMany(most: number): Refusal {
  return new Refusal("context.entries", `the context has more than ${most} entries`, { statusCode: 413 });
}

function missing(message: string): Refusal {
  return new Refusal("dockerfile.missing", message, { statusCode: 400 });
}
