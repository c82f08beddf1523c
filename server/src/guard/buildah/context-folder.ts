import type { Readable } from "node:stream";
import { createWriteStream } from "node:fs";
import { chmod, lchown, link, lutimes, mkdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import {
  Failure,
  newRunId,
  openArchiveContext,
  type BuildContext,
  type ContextEntry,
  type ContextFile,
} from "docker-over-ssh/builds";
import { Refusal } from "../refusal.ts";

/** Maximum bytes of a Dockerfile that is searched for images. No images are fetched for a longer one. */
const MAX_DOCKERFILE = 1024 * 1024;
/** Maximum links from a name to the Dockerfile itself */
const MAX_LINKS = 10;

export interface ContextOptions {
  /** The user of the tenant's programs, who becomes the owner of all files */
  user: number;
  /** Maximum bytes, unpacked */
  limit: number;
  env: NodeJS.ProcessEnv;
  signal: AbortSignal;
}

/**
 * Unpacks a tar into a new folder, and reads the Dockerfile. Creates symbolic links last, so that nothing is written through them. Returns the text of the
 * Dockerfile, or undefined if it does not exist.
 *
 * @throws Refusal `context.invalid` 400 if the source is no tar, contains a path that leads out of the context, or is too large
 */
export async function unpackContext(
  source: Readable,
  folder: string,
  dockerfile: string,
  { user, limit, env, signal }: ContextOptions,
): Promise<string | undefined> {
  try {
    await using context = await openArchiveContext(source, {
      env,
      runId: newRunId(),
      signal,
      limits: { bytes: limit },
    });
    await mkdir(folder, { mode: 0o755 });
    await writeContext(context, folder, user, signal);
    return await readDockerfile(context, dockerfile, signal);
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof Failure) || error.code !== "context-invalid") throw error;
    const { message, expected } = error;
    throw new Refusal("context.invalid", expected === undefined ? message : `${message}; expected ${expected}`, {
      statusCode: 400,
      cause: error,
    });
  }
}

async function writeContext(context: BuildContext, folder: string, user: number, signal: AbortSignal): Promise<void> {
  const own = process.getuid?.() === 0 ? user : undefined;
  const isLink = ({ kind }: ContextEntry): boolean => kind === "symlink";
  for (const entry of [...context.entries.filter((entry) => !isLink(entry)), ...context.entries.filter(isLink)]) {
    signal.throwIfAborted();
    const path = pathIn(folder, entry.path);
    await writeEntry(context, entry, path, folder, signal);
    if (own !== undefined) await lchown(path, own, own);
    if (entry.kind === "file" || entry.kind === "folder") {
      await chmod(path, entry.kind === "folder" ? entry.mode | 0o700 : entry.mode);
    }
    if (entry.kind === "file") await lutimes(path, entry.mtime / 1e6, entry.mtime / 1e6);
  }
  if (own !== undefined) await lchown(folder, own, own);
}

async function writeEntry(
  context: BuildContext,
  entry: ContextEntry,
  path: Buffer,
  folder: string,
  signal: AbortSignal,
): Promise<void> {
  switch (entry.kind) {
    case "folder":
      return await mkdir(path, { mode: 0o700 });
    case "symlink":
      return await symlink(Buffer.from(entry.target, "latin1"), path);
    case "hard-link":
      return await link(pathIn(folder, entry.target), path);
    case "file":
      await pipeline(context.read(entry, signal), createWriteStream(path, { flags: "wx", mode: 0o600 }), { signal });
  }
}

/** Returns a path as bytes. A name in a context has one character for each byte. */
function pathIn(folder: string, path: string): Buffer {
  return Buffer.concat([Buffer.from(`${folder}/`), Buffer.from(path, "latin1")]);
}

/** Reads the Dockerfile. Follows links only inside the context, because the guard must not read files outside of it. */
async function readDockerfile(context: BuildContext, name: string, signal: AbortSignal): Promise<string | undefined> {
  const byPath = new Map(context.entries.map((entry) => [entry.path, entry]));
  let path = join("/", Buffer.from(name).toString("latin1")).slice(1);
  for (let links = 0; links < MAX_LINKS; links++) {
    const entry = byPath.get(path);
    if (entry === undefined || entry.kind === "folder") return undefined;
    if (entry.kind === "file") return await textOf(entry, context, signal);
    path = entry.kind === "hard-link" ? entry.target : join("/", path, "..", entry.target).slice(1);
  }
  return undefined;
}

async function textOf(file: ContextFile, context: BuildContext, signal: AbortSignal): Promise<string | undefined> {
  if (file.size > MAX_DOCKERFILE) return undefined;
  const chunks: Uint8Array[] = [];
  for await (const chunk of context.read(file, signal)) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}
