import { constants } from "node:fs";
import { access, lstat, mkdir, mkdtemp, readdir, rm, rmdir, unlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cacheFolder } from "../../files/cache-folder.ts";
import { isOwn, isPrivate, openPrivateFolder } from "../../files/private-folder.ts";
import { hexOf, isDigest } from "../../image/digest.ts";
import { Failure, messageOf } from "../../output/errors.ts";
import { isLocked, withLock, type LockOptions } from "../../run/lock.ts";
import { partialFile, removePartialFiles } from "../../run/partial-file.ts";
import type { RunId } from "../../run/run-id.ts";
import { damagedContext } from "./damaged-context.ts";
import { DamagedPack, PackFile } from "./pack-file.ts";
import type { Piece } from "./piece.ts";

/** The folder of kept contexts in the cache folder. */
export const CONTEXTS_FOLDER = "contexts";
const NAME = /^([0-9a-f]{64})\.pack$/;
/** The unit of `stat`'s `blocks` in bytes, on any file system. */
const STAT_BLOCK = 512;

export interface KeptContextLimits {
  /** Bytes of all packs. */
  bytes: number;
  /** ms since a pack was last used. */
  age: number;
}

const LIMITS: KeptContextLimits = { bytes: 10e9, age: 30 * 24 * 3600_000 };

export interface KeptContextOptions {
  env: NodeJS.ProcessEnv;
  runId: RunId;
  /** The key of the project, a digest. Each project has a kept context of its own. */
  project: string;
  /** Called with the reason if the cache folder cannot be used: nothing is kept for the next run. */
  onNotKept?: (reason: string) => void;
  limits?: KeptContextLimits;
}

/**
 * The kept context of a project on the side that builds: a pack with the pieces of its last context. Packs are in the cache folder, and
 * only this user can read them. If there are too many, the oldest are removed.
 */
export class KeptContext {
  readonly #options: KeptContextOptions;

  /** Throws a `transfer-failed` Failure if the project is not a digest. */
  constructor(options: KeptContextOptions) {
    if (!isDigest(options.project)) {
      throw new Failure("transfer-failed", "the project of the build has no valid key", {
        expected: "a SHA-256 digest",
      });
    }
    this.#options = options;
  }

  /**
   * Calls `use` with the pack, which is locked against all other runs. `use` returns the pieces that the next run may need. Afterwards
   * removes the other pieces if they are the majority, and the packs that exceed the limits. Returns the open pack, which the caller
   * disposes of. Throws a `no-space` Failure for a full disk, a `not-verified` one for a damaged pack, which it removes, and the signal's
   * reason.
   */
  async update(lock: LockOptions, use: (pack: PackFile) => Promise<readonly Piece[]>): Promise<PackFile> {
    const { runId, project, limits = LIMITS, onNotKept } = this.#options;
    let folder: string;
    try {
      folder = await openFolder(this.#options.env);
    } catch (error) {
      onNotKept?.(messageOf(error));
      return await usePack(await packWithoutName(), use);
    }
    await removePartialFiles(folder);
    await trim(folder, limits); // including this project's pack: interrupted runs may have left more than is worth keeping
    const path = join(folder, hexOf(project));
    const update = async (): Promise<PackFile> => {
      const pack = await PackFile.open(`${path}.pack`);
      return await usePack(pack, async () => {
        const live = await use(pack);
        await rewriteIfMostIsDead(pack, live, partialFile(pack.path, runId));
        await pack.touch();
        return live;
      });
    };
    // No timeout: the lock's holder receives a context, however long that takes, and a killed run holds no lock.
    const pack = await withLock(path, runId, update, { timeout: Infinity, ...lock });
    await trim(folder, limits);
    return pack;
  }
}

/** A pack of the cache folder. */
export interface KeptPack {
  path: string;
  /** The disk space that it occupies, in bytes */
  bytes: number;
  /** ms since the epoch */
  usedAt: number;
}

/**
 * Lists the packs in a folder of kept contexts that no run is updating, the last used first. They may be removed even while a run reads
 * them.
 */
export async function freePacks(folder: string): Promise<KeptPack[]> {
  const packs: KeptPack[] = [];
  for (const name of await readdir(folder).catch(() => [])) {
    const [, hex] = NAME.exec(name) ?? [];
    if (hex === undefined || (await isLocked(join(folder, hex)))) continue;
    const path = join(folder, name);
    const found = await lstat(path).catch(() => undefined);
    if (found?.isFile() && isOwn(found)) packs.push({ path, bytes: found.blocks * STAT_BLOCK, usedAt: found.mtimeMs });
  }
  return packs.toSorted((one, other) => other.usedAt - one.usedAt);
}

/** Removes the packs that exceed the limits, the oldest first. */
async function trim(folder: string, { bytes, age }: KeptContextLimits): Promise<void> {
  let sum = 0;
  for (const pack of await freePacks(folder)) {
    sum += pack.bytes;
    if (sum <= bytes && Date.now() - pack.usedAt <= age) continue;
    sum -= pack.bytes;
    await rm(pack.path, { force: true }).catch(() => {});
  }
}

/** Opens the folder of kept contexts. Throws if other users have access to it, or if this user cannot write to it. */
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

/** Creates a pack without a name in the folder for temporary files. It disappears when it is closed, even if the process is killed. */
async function packWithoutName(): Promise<PackFile> {
  const folder = await mkdtemp(join(tmpdir(), "docker-over-ssh-")); // mode 0700
  const path = join(folder, "pack");
  try {
    return await PackFile.open(path);
  } finally {
    await unlink(path).catch(() => {});
    await rmdir(folder).catch(() => {});
  }
}

async function usePack(pack: PackFile, use: (pack: PackFile) => Promise<unknown>): Promise<PackFile> {
  try {
    await use(pack);
    return pack;
  } catch (error) {
    const failure = await damagedContext(pack, error);
    await pack[Symbol.asyncDispose]();
    throw failure;
  }
}

/**
 * Removes the pieces of earlier contexts, which would fill the disk. Leaves the pack unchanged if they are few, or if the disk has no room
 * for the new pack.
 */
async function rewriteIfMostIsDead(pack: PackFile, live: readonly Piece[], partPath: string): Promise<void> {
  const bytes = live.reduce((sum, { size }) => sum + size, 0);
  if (pack.size - bytes <= Math.max(bytes, 16 * 1024 * 1024)) return;
  await pack.rewrite(live, partPath).catch((error: unknown) => {
    if (error instanceof DamagedPack) throw error;
  });
}
