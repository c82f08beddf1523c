import { once, type EventEmitter } from "node:events";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { extract, pack, type Header, type Pack } from "tar-stream";
import { Refusal } from "../../refusal.ts";
import { MAX_DOCKERFILE } from "../dockerfile/logical-lines.ts";
import { decompress } from "./decompress.ts";
import { checkEntry, dockerfilePath, type Entry } from "./entry.ts";
import { IGNORE_FILE, ignoreFileWith, isIgnored } from "./ignore-file.ts";

export interface ContextOptions {
  /** As the request names it, e.g. `./Dockerfile` */
  dockerfile: string;
  /** Bytes of the tar */
  limit: number;
  signal: AbortSignal;
  /** Checks the Dockerfile, when all of the context has been read, and returns the one that the engine gets */
  rewrite: (dockerfile: Buffer) => Promise<string>;
}

/** A context as the engine gets it. */
export interface RewrittenContext {
  /** What the request calls the Dockerfile */
  dockerfile: string;
  /** A tar. It fails with a Refusal. The caller reads it to its end, or destroys it. */
  tar: Readable;
}

/** Large source trees with their dependencies have half of this. */
const MAX_ENTRIES = 1_000_000;
const DEFAULT = "Dockerfile";
/** The same in each build: it is in .dockerignore, which is part of the cache key of `COPY . /`. */
const OURS = ".docker-over-ssh-guard.dockerfile";
const FILE_MODE = 0o644;
/** Bytes of a block of a tar */
const BLOCK = 512;

/** A file that is kept until all entries have been read: the last of several with its name counts. */
interface Kept {
  content: Buffer;
  header: Header;
}

interface State {
  options: ContextOptions;
  tar: Pack;
  /** Paths that may be the Dockerfile, in the order in which the engine looks for it, and the ignore file */
  watched: readonly string[];
  kept: Map<string, Kept>;
  /** Watched paths that are links */
  links: Set<string>;
}

/**
 * Reads a context and writes it anew as it arrives: the same files, with headers of ours, and at the end a Dockerfile under a name of ours, which the engine
 * takes instead of the tenant's. The engine removes it from the context again, as its last line of .dockerignore says (the way of docker for a Dockerfile
 * from stdin). Owns `source`.
 */
export function rewriteContext(source: Readable, options: ContextOptions): RewrittenContext {
  const path = dockerfilePath(options.dockerfile);
  const candidates = path === DEFAULT ? [DEFAULT, DEFAULT.toLowerCase()] : [path];
  const state: State = {
    options,
    tar: pack(),
    watched: [...candidates, IGNORE_FILE],
    kept: new Map(),
    links: new Set(),
  };
  return { dockerfile: OURS, tar: Readable.from(written(source, state, candidates), { objectMode: false }) };
}

async function* written(source: Readable, state: State, candidates: readonly string[]) {
  const { tar, options } = state;
  tar.on("error", () => {});
  const stop = new AbortController();
  const filling = (async () => {
    await copyEntries(source, state, AbortSignal.any([options.signal, stop.signal]));
    await writeEnd(state, candidates);
    tar.finalize();
  })();
  // What has failed is told below; the reader ends with the tar.
  filling.catch((error: unknown) => tar.destroy(error as Error));
  try {
    yield* tar as AsyncIterable<Buffer>;
    await filling;
  } catch (error) {
    await filling;
    throw error;
  } finally {
    stop.abort();
    tar.destroy();
    source.destroy();
  }
}

/** Passes entries on but those that are kept. */
async function copyEntries(source: Readable, state: State, signal: AbortSignal): Promise<void> {
  const parser = extract();
  // Errors come out of the loops; an event without a listener would end the process.
  parser.on("error", () => {});
  let cause: unknown;
  const read = { bytes: 0 };
  const blocks = wholeBlocks(decompress(source, state.options.limit), read);
  const fed = pipeline(blocks, parser, { signal }).catch((error: unknown) => {
    cause ??= error;
    parser.destroy(error as Error);
  });
  let count = 0;
  let end = 0;
  try {
    for await (const entry of parser) {
      entry.on("error", () => {});
      end = (entry.header as Header & { byteOffset: number }).byteOffset + (entry.header.size ?? 0);
      if (++count > MAX_ENTRIES) throw tooMany();
      const checked = checkEntry(entry.header);
      if (checked.path.split("/", 1)[0] === OURS) throw reservedName();
      const keeps = checked.type === "file" && state.watched.includes(checked.path);
      if (keeps)
        state.kept.set(checked.path, {
          content: await readSmall(entry as AsyncIterable<Buffer>, checked.path),
          header: entry.header,
        });
      if (keeps) state.links.delete(checked.path);
      else await passOn(checked, entry as AsyncIterable<Buffer>, state, signal);
    }
    if (end > read.bytes) throw new Error("the last entry is cut off");
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof Refusal) throw error;
    if (cause instanceof Refusal) throw cause;
    throw new Refusal("context.invalid", "the context is not a tar, or a damaged one", {
      statusCode: 400,
      cause: error,
    });
  } finally {
    parser.destroy();
    source.destroy();
    await fed;
  }
}

/**
 * Fills the last block up with zeros: the docker CLI (`-f -`) ends a context with the last byte of its last file, which engines take.
 *
 * @param read is told how many bytes there were
 */
async function* wholeBlocks(chunks: AsyncIterable<Buffer>, read: { bytes: number }): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    read.bytes += chunk.length;
    yield chunk;
  }
  const missing = -read.bytes & (BLOCK - 1);
  if (missing > 0) yield Buffer.alloc(missing);
}

async function passOn(
  { path, type, target, header }: Entry,
  content: AsyncIterable<Buffer>,
  state: State,
  signal: AbortSignal,
) {
  const { tar, watched, kept, links } = state;
  if (path === "") return;
  if (watched.includes(path)) {
    kept.delete(path);
    if (type !== "directory") links.add(path);
  }
  // What it links to comes at the end.
  const linked = type === "link" ? kept.get(target) : undefined;
  if (linked !== undefined) return await writeFile(tar, path, linked.content, linked.header);
  const size = type === "file" ? (header.size ?? 0) : 0;
  const entry = tar.entry({ ...common(header), name: path, type, size, ...(target !== "" && { linkname: target }) });
  entry.on("error", () => {});
  if (type !== "file") return void entry.end(undefined);
  for await (const chunk of content) {
    if (!entry.write(chunk)) await once(entry as unknown as EventEmitter, "drain", { signal });
  }
  entry.end(undefined);
}

/** The Dockerfile and the ignore file of the tenant, and those of ours. */
async function writeEnd({ tar, kept, links, options }: State, candidates: readonly string[]): Promise<void> {
  const link = [...candidates, IGNORE_FILE].find((path) => links.has(path));
  if (link !== undefined) {
    throw new Refusal(
      "dockerfile.link",
      `${link} is a link in the context: send the file itself, or name its target with -f`,
      {
        statusCode: 400,
      },
    );
  }
  const found = candidates.find((path) => kept.has(path));
  const dockerfile = found === undefined ? undefined : kept.get(found);
  if (found === undefined || dockerfile === undefined) {
    throw invalid(`Cannot locate specified Dockerfile: ${options.dockerfile.slice(0, 200)}`);
  }
  if (dockerfile.content.length === 0) throw invalid(`the Dockerfile (${found}) cannot be empty`);
  const text = await options.rewrite(dockerfile.content);
  const ignore = kept.get(IGNORE_FILE);
  for (const [path, { content, header }] of kept) {
    if (path === IGNORE_FILE) continue;
    if (path === found && isIgnored(ignore?.content, path)) continue;
    await writeFile(tar, path, content, header);
  }
  await writeFile(tar, IGNORE_FILE, ignoreFileWith(ignore?.content, OURS), ignore?.header);
  await writeFile(tar, OURS, Buffer.from(text), undefined);
}

async function readSmall(content: AsyncIterable<Buffer>, path: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of content) {
    size += chunk.length;
    if (size > MAX_DOCKERFILE) {
      throw new Refusal("dockerfile.size", `${path} is larger than ${MAX_DOCKERFILE} bytes`, { statusCode: 413 });
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function writeFile(tar: Pack, path: string, content: Buffer, header: Header | undefined): Promise<void> {
  const attributes = header === undefined ? { mode: FILE_MODE, mtime: new Date(0) } : common(header);
  await new Promise<void>((resolve, reject) => {
    tar.entry({ ...attributes, name: path, type: "file", size: content.length }, content, (error) =>
      error ? reject(error) : resolve(),
    );
  });
}

/** No name of a user, no extended attribute, no other header of pax: the engine needs none of them. */
function common({ mode, uid, gid, mtime }: Header) {
  const seconds = Math.min(Math.max(0, Math.floor((mtime?.getTime() ?? 0) / 1000)), 0o77777777777);
  return {
    mode: mode & 0o7777,
    uid: Math.min(uid, 0o7777777),
    gid: Math.min(gid, 0o7777777),
    mtime: new Date(seconds * 1000),
  };
}

function reservedName(): Refusal {
  return new Refusal("context.entry", `the context has an entry that is not allowed: ${OURS} is the guard's own name`, {
    statusCode: 400,
  });
}

function tooMany(): Refusal {
  return new Refusal("context.entries", `the context has more than ${MAX_ENTRIES} entries`, { statusCode: 413 });
}

function invalid(message: string): Refusal {
  return new Refusal("dockerfile.missing", message, { statusCode: 400 });
}
