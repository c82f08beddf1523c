import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { cacheFolder } from "./files/cache-folder.ts";
import { isPrivate, openPrivateFolder } from "./files/private-folder.ts";
import { runCommand, tuneGarbageCollection } from "./load-command.ts";
import { digestOf, isTooOld, pass, receive, writeLine, unpack } from "./remote/script/receive-bundle.ts";

/**
 * The first code that runs in the remote side's Node (`node -e`). It gets docker-over-ssh itself, the bundle, from the cache folder or from stdin,
 * checks its digest, and runs it. Compiled for Node 10, so that an older Node can report its version.
 *
 * process.argv: this code (brotli, in base64), `DIGEST:SIZE` (hexadecimal SHA-256 of the bundle; its compressed size in bytes), the kind of
 * program, and the arguments of docker-over-ssh.
 */

/** Number of bundles that stay in the cache: one for each of a few versions. */
const CACHED_BUNDLES = 3;
const PREFIX = "bundle-";
/** ms after which a half-written file counts as abandoned. */
const ABANDONED = 3600_000;

const [, bootstrap = "", bundle = "", program = "", ...words] = process.argv;
const [digest = "", size = ""] = bundle.split(":");

function boot(): void {
  if (isTooOld(program)) return;
  tuneGarbageCollection();
  const folder = ownCacheFolder();
  const path = folder && join(folder, `${PREFIX}${digest}.cjs`);
  const cached = path && readCached(path);
  const content = cached || receiveBundle();
  if (content === undefined) return;
  if (folder && path && !cached) cacheBundle(folder, path, content);
  writeLine(cached ? "run kept" : "run sent");
  const name = `${PREFIX}${digest}.cjs`;
  const file = { text: content.toString("latin1"), path: path || join("/", name), name, sent: { digest, bootstrap } };
  void runCommand(file, [process.execPath, name, ...words]);
}

/** Returns the cache folder, if only this user can access it. Otherwise nothing is cached. */
function ownCacheFolder(): string | undefined {
  const folder = cacheFolder(process.env);
  try {
    return folder && openPrivateFolder(folder, { make: true });
  } catch {
    return undefined;
  }
}

/** Reads the bundle of an earlier run; returns undefined unless its digest matches and only this user could have written it. */
function readCached(path: string): Buffer | undefined {
  try {
    const descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const found = fstatSync(descriptor);
      if (!found.isFile() || !isPrivate(found)) return undefined;
      const content = readFileSync(descriptor);
      return digestOf(content) === digest ? content : undefined;
    } finally {
      closeSync(descriptor);
    }
  } catch {
    return undefined;
  }
}

/** Receives the bundle and checks it. */
function receiveBundle(): Buffer | undefined {
  const packed = receive(Number(size));
  if (packed === undefined) return undefined;
  const content = unpack(packed, digest);
  if (content === undefined) pass(program, "the bundle that arrived is damaged");
  return content;
}

/**
 * Caches the bundle for the next run, and replaces the file atomically. Never throws: if there is no space, the next run receives the
 * bundle again.
 */
function cacheBundle(folder: string, path: string, content: Buffer): void {
  const part = `${path}.${process.pid}`;
  try {
    const descriptor = openSync(part, "wx", 0o600);
    try {
      writeFileSync(descriptor, content);
    } finally {
      closeSync(descriptor);
    }
    renameSync(part, path);
    removeOld(folder);
  } catch {
    remove(part);
  }
}

function removeOld(folder: string): void {
  const files = readdirSync(folder)
    .filter((name) => name.startsWith(PREFIX))
    .map((name) => ({ path: join(folder, name), whole: name.endsWith(".cjs"), at: changedAt(join(folder, name)) }));
  for (const { path, whole, at } of files) if (!whole && Date.now() - at > ABANDONED) remove(path);
  const byAge = files.filter(({ whole }) => whole).toSorted((one, other) => other.at - one.at);
  for (const { path } of byAge.slice(CACHED_BUNDLES)) remove(path);
}

function changedAt(path: string): number {
  try {
    return lstatSync(path).mtimeMs;
  } catch {
    return 0;
  }
}

function remove(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // another run has removed it
  }
}

/** Boots if the engine's socket can be used. It is mounted, but user namespaces or SELinux may deny a container access to it. */
function bootInContainer(): void {
  const socket = connect((process.env["DOCKER_HOST"] || "").replace("unix://", ""));
  socket.once("connect", () => {
    socket.destroy();
    boot();
  });
  socket.once("error", ({ code = "" }: NodeJS.ErrnoException) => pass(program, `${code} at the engine's socket`));
}

if (program === "container") bootInContainer();
else boot();
