import { constants } from "node:fs";
import { access, lstat, mkdir, mkdtemp, readdir, rm, rmdir, unlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { allocatedBytes } from "../../files/allocated-bytes.ts";
import { cacheFolder } from "../../files/cache-folder.ts";
import { isOwn, isPrivate, openPrivateFolder } from "../../files/private-folder.ts";
import { hexOf, isDigest } from "../../image/digest.ts";
import { Failure, messageOf } from "../../output/errors.ts";
import { isLocked, withLock, type LockOptions } from "../../run/lock.ts";
import { partialFile, removePartialFiles } from "../../run/partial-file.ts";
import type { RunId } from "../../run/run-id.ts";
import { damagedContext } from "./damaged-context.ts";
import { DamagedPieceStore, PieceStore } from "./piece-store.ts";
import type { Piece } from "./piece.ts";

/** The folder of stored contexts in the cache folder. */
export const CONTEXTS_FOLDER = "contexts";
const NAME = /^([0-9a-f]{64})\.pack$/;

export interface StoredContextLimits {
  /** Bytes of all piece stores. */
  bytes: number;
  /** ms since a piece store was last used. */
  age: number;
}

const LIMITS: StoredContextLimits = { bytes: 10e9, age: 30 * 24 * 3600_000 };

export interface StoredContextOptions {
  env: NodeJS.ProcessEnv;
  runId: RunId;
  /** The key of the project, a digest. Each project has a stored context of its own. */
  project: string;
  /** Called with the reason if the cache folder cannot be used: nothing is stored for the next run. */
  onNotStored?: (reason: string) => void;
  limits?: StoredContextLimits;
}

/**
 * The stored context of a project on the side that builds: a piece store with the pieces of its last context. The piece stores are in the
 * cache folder, and only this user can read them. If there are too many, the oldest are removed.
 */
export class StoredContext {
  readonly #options: StoredContextOptions;

  /** Throws a `transfer-failed` Failure if the project is not a digest. */
  constructor(options: StoredContextOptions) {
    if (!isDigest(options.project)) {
      throw new Failure("transfer-failed", "the project of the build has no valid key", {
        expected: "a SHA-256 digest",
      });
    }
    this.#options = options;
  }

  /**
   * Calls `use` with the piece store, which is locked against all other runs. `use` returns the pieces that the next run may need.
   * Afterwards removes the other pieces if they are the majority, and the piece stores that exceed the limits. Returns the open piece
   * store, which the caller disposes of. Throws a `no-space` Failure for a full disk, a `not-verified` one for a damaged piece store, which
   * it removes, and the signal's reason.
   */
  async update(lock: LockOptions, use: (store: PieceStore) => Promise<readonly Piece[]>): Promise<PieceStore> {
    const { runId, project, limits = LIMITS, onNotStored } = this.#options;
    let folder: string;
    try {
      folder = await openFolder(this.#options.env);
    } catch (error) {
      onNotStored?.(messageOf(error));
      return await useStore(await openUnnamed(), use);
    }
    await removePartialFiles(folder);
    await trim(folder, limits); // including this project's: interrupted runs may have left more than is worth storing
    const path = join(folder, hexOf(project));
    const update = async (): Promise<PieceStore> => {
      const store = await PieceStore.open(`${path}.pack`);
      return await useStore(store, async () => {
        const live = await use(store);
        await rewriteIfMostIsDead(store, live, partialFile(store.path, runId));
        await store.touch();
        return live;
      });
    };
    // No timeout: the lock's holder receives a context, however long that takes, and a killed run holds no lock.
    const store = await withLock(path, runId, update, { timeout: Infinity, ...lock });
    await trim(folder, limits);
    return store;
  }
}

/** A piece store of the cache folder that no run is updating. */
export interface FreePieceStore {
  path: string;
  /** The disk space that it occupies, in bytes */
  bytes: number;
  /** ms since the epoch */
  usedAt: number;
}

/**
 * Lists the piece stores in a folder of stored contexts that no run is updating, the last used first. They may be removed even while a run
 * reads them.
 */
export async function freePieceStores(folder: string): Promise<FreePieceStore[]> {
  const stores: FreePieceStore[] = [];
  for (const name of await readdir(folder).catch(() => [])) {
    const [, hex] = NAME.exec(name) ?? [];
    if (hex === undefined || (await isLocked(join(folder, hex)))) continue;
    const path = join(folder, name);
    const found = await lstat(path).catch(() => undefined);
    if (found?.isFile() && isOwn(found)) stores.push({ path, bytes: allocatedBytes(found), usedAt: found.mtimeMs });
  }
  return stores.toSorted((one, other) => other.usedAt - one.usedAt);
}

/** Removes the piece stores that exceed the limits, the oldest first. */
async function trim(folder: string, { bytes, age }: StoredContextLimits): Promise<void> {
  let sum = 0;
  for (const store of await freePieceStores(folder)) {
    sum += store.bytes;
    if (sum <= bytes && Date.now() - store.usedAt <= age) continue;
    sum -= store.bytes;
    await rm(store.path, { force: true }).catch(() => {});
  }
}

/** Opens the folder of stored contexts. Throws if other users have access to it, or if this user cannot write to it. */
async function openFolder(env: NodeJS.ProcessEnv): Promise<string> {
  const cache = cacheFolder(env);
  if (cache === undefined)
    throw new Error("there is no cache folder: neither HOME nor XDG_CACHE_HOME is an absolute path");
  const folder = join(openPrivateFolder(cache, { make: true }), CONTEXTS_FOLDER);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const found = await lstat(folder);
  if (!found.isDirectory() || (process.platform !== "win32" && !isPrivate(found))) {
    throw new Error(`${join(cache, CONTEXTS_FOLDER)} is not a folder of this user alone`);
  }
  await access(folder, constants.W_OK);
  return folder;
}

/** Creates an unnamed piece store in the folder for temporary files. It disappears when it is closed, even if the process is killed. */
async function openUnnamed(): Promise<PieceStore> {
  const folder = await mkdtemp(join(tmpdir(), "docker-over-ssh-")); // mode 0700
  const path = join(folder, "pack");
  try {
    return await PieceStore.open(path);
  } finally {
    await unlink(path).catch(() => {});
    await rmdir(folder).catch(() => {});
  }
}

async function useStore(store: PieceStore, use: (store: PieceStore) => Promise<unknown>): Promise<PieceStore> {
  try {
    await use(store);
    return store;
  } catch (error) {
    const failure = await damagedContext(store, error);
    await store[Symbol.asyncDispose]();
    throw failure;
  }
}

/**
 * Removes the pieces of earlier contexts, which would fill the disk. Leaves the piece store unchanged if they are few, or if the disk has
 * no space for the new one.
 */
async function rewriteIfMostIsDead(store: PieceStore, live: readonly Piece[], partPath: string): Promise<void> {
  const bytes = live.reduce((sum, { size }) => sum + size, 0);
  if (store.size - bytes <= Math.max(bytes, 16 * 1024 * 1024)) return;
  await store.rewrite(live, partPath).catch((error: unknown) => {
    if (error instanceof DamagedPieceStore) throw error;
  });
}
