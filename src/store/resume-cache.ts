import { constants } from "node:fs";
import { copyFile, lstat, mkdir, rename, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { cacheFolder } from "../files/cache-folder.ts";
import { freeBytes } from "../files/free-bytes.ts";
import { isPrivate, openPrivateFolder } from "../files/private-folder.ts";
import { digestOf, hexOf, type Digest } from "../image/digest.ts";
import type { Descriptor } from "../image/manifest.ts";
import type { RunId } from "../run/run-id.ts";
import { resolveWithin } from "../streams/resolve-within.ts";
import { ResumableFile } from "./resumable-file.ts";
import {
  filesOfBlob,
  freeFiles,
  ownFile,
  RESUME_CACHE_FOLDER,
  resumeCacheFiles,
  trimCache,
  type CachedFile,
  type CacheLimits,
} from "./resume-cache-files.ts";

/** The oldest files are removed first. A transfer that is not resumed within a week is treated as abandoned. */
export const LIMITS: CacheLimits = { size: 10_000_000_000, age: 7 * 24 * 3600 * 1000 };

/**
 * The share of the free disk that a file may take if it only serves the next run. An engine on the same disk needs space for its copy of the
 * archive, for the layer, and for both of another image.
 */
const SHARE_OF_FREE = 1 / 4;

/** ms to wait until an abandoned file is closed. */
const CLOSE_TIMEOUT = 1000;

export interface ResumeCacheOptions {
  env: NodeJS.ProcessEnv;
  runId: RunId;
  limits?: CacheLimits;
  /** Called on disposal with the number of bytes that the next run need not fetch. */
  onStored?: (bytes: number) => void;
}

/**
 * Partial layers in the user's cache folder. The next run, with any command, continues with them after this run is stopped, killed or
 * disconnected. Each blob has one file. A run takes over a file by a rename that adds its run ID, which only one run can do. It copies a
 * file that another run uses. No content is trusted: the layer is verified from its first byte. Errors of the folder never make a transfer
 * fail; nothing is stored in that case.
 */
export class ResumeCache implements AsyncDisposable {
  /** Set when the folder exists and has been checked. */
  #folder = "";
  readonly #options: ResumeCacheOptions;
  readonly #limits: CacheLimits;
  readonly #taken = new Map<Digest, ResumableFile>();
  /** The blobs of the image, and the keys of their partial rebuilds. All their files are removed when the image has been received. */
  readonly #related = new Set<Digest>();
  /** The number of bytes to which the files of this run may grow. */
  #promised = 0;
  #opened: Promise<boolean> | undefined;

  constructor(options: ResumeCacheOptions) {
    this.#options = options;
    this.#limits = options.limits ?? LIMITS;
  }

  /** Removes the files that exceed the limits, then returns the blobs that have a partial file. */
  async findPartial(digests: readonly Digest[]): Promise<Digest[]> {
    if (!(await this.#isSafe())) return [];
    this.relate(digests);
    await this.#trim();
    const partial = new Set(
      (await resumeCacheFiles(this.#folder)).filter(({ size }) => size > 0).map(({ digest }) => digest),
    );
    return digests.filter((digest) => partial.has(digest));
  }

  /** Returns the number of present bytes of a blob. */
  async bytesOf(digest: Digest): Promise<number> {
    return (await this.#longestOf(digest))?.size ?? 0;
  }

  /** Returns the bytes on disk of a layer's partial rebuild. Its file has holes for missing pieces. */
  async bytesOfPartialRebuild(diffId: Digest): Promise<number> {
    const { size, allocated } = (await this.#longestOf(partialRebuildKey(diffId))) ?? { size: 0, allocated: 0 };
    return Math.min(size, allocated);
  }

  async #longestOf(digest: Digest): Promise<CachedFile | undefined> {
    this.#related.add(digest);
    return (await this.#isSafe()) ? (await filesOfBlob(this.#folder, digest))[0] : undefined;
  }

  /** Adds blobs of the image that are not fetched. Their files are also removed when the image has been received. */
  relate(digests: Iterable<Digest>): void {
    for (const digest of digests) this.#related.add(digest).add(partialRebuildKey(digest));
  }

  /** Opens the file of a blob for the exclusive use of this run, until the cache is disposed of; undefined if that is impossible. */
  async take({ digest, size }: Descriptor): Promise<ResumableFile | undefined> {
    const file = await this.#take(digest, size);
    if (file !== undefined) this.#promised += size;
    return file;
  }

  /** Opens the file of a layer's partial rebuild, like {@link take}. Its final size is unknown. */
  async takePartialRebuild(diffId: Digest): Promise<ResumableFile | undefined> {
    return await this.#take(partialRebuildKey(diffId), Infinity);
  }

  async #take(digest: Digest, size: number): Promise<ResumableFile | undefined> {
    if (this.#taken.has(digest) || !(await this.#isOpen())) return undefined;
    this.#related.add(digest);
    try {
      const file = (await this.#takeOver(digest, size)) ?? (await ResumableFile.create(this.#ownPath(digest)));
      this.#taken.set(digest, file);
      return file;
    } catch {
      return undefined;
    }
  }

  /** Opens the file of a blob, like {@link take}, if it only serves the next run; undefined if it might take space that is needed. */
  async takeIfSpace(blob: Descriptor): Promise<ResumableFile | undefined> {
    if (this.#promised + blob.size > this.#limits.size || !(await this.#isOpen())) return undefined;
    const free = await this.#freeBytes();
    const [present = 0] = (await filesOfBlob(this.#folder, blob.digest)).map(({ size }) => size);
    return blob.size - present > free * SHARE_OF_FREE ? undefined : await this.take(blob);
  }

  /** Removes a file of this run. */
  async drop(file: ResumableFile): Promise<void> {
    for (const [digest, one] of this.#taken) if (one === file) this.#taken.delete(digest);
    await file.remove();
  }

  /** Frees `bytes` bytes of the disk, if the files that no run uses have that many bytes. */
  async freeSpace(bytes: number): Promise<void> {
    if (!(await this.#isSafe())) return;
    const others = await freeFiles(this.#folder);
    // If all of them together do not suffice, none is removed: a sender may announce any size.
    if ((await this.#freeBytes()) + others.reduce((sum, { size }) => sum + size, 0) < bytes) return;
    for (const { path } of others) {
      if ((await this.#freeBytes()) >= bytes) return;
      await rm(path, { force: true }).catch(() => {});
    }
  }

  /** Whether a resumed file has failed verification. */
  get hasResumedInvalidFile(): boolean {
    return [...this.#taken.values()].some(({ resumedBytes, isInvalid }) => resumedBytes > 0 && isInvalid);
  }

  /** Removes all files of the image, after it was received or refused. */
  async forget(): Promise<void> {
    for (const file of this.#taken.values()) await file.remove();
    this.#taken.clear();
    // Another run may have left partial files of the same layers.
    if (this.#related.size === 0 || !(await this.#isSafe())) return;
    for (const { path, digest } of await freeFiles(this.#folder)) {
      if (this.#related.has(digest)) await rm(path, { force: true }).catch(() => {});
    }
    await rmdir(this.#folder).catch(() => {}); // it is not empty
  }

  /** Releases the files of this run, so that the next run finds them. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#taken.size === 0) return;
    let storedBytes = 0;
    for (const [digest, file] of this.#taken) {
      await resolveWithin(CLOSE_TIMEOUT, file.close());
      const { size } = (await ownFile(file.path)) ?? { size: 0 };
      if (size === 0 || file.isInvalid) await file.remove();
      else storedBytes += await this.#release(digest, file.path, size);
    }
    await rmdir(this.#folder).catch(() => {}); // it is not empty
    this.#taken.clear();
    await this.#trim();
    if (storedBytes > 0) this.#options.onStored?.(storedBytes);
  }

  /** Keeps the longer of this file and a file that another run has released in the meantime. Returns its size in bytes. */
  async #release(digest: Digest, path: string, size: number): Promise<number> {
    const to = join(this.#folder, hexOf(digest));
    const other = (await ownFile(to))?.size ?? 0;
    try {
      await (other >= size ? rm(path, { force: true }) : rename(path, to));
      return Math.max(size, other);
    } catch {
      return 0;
    }
  }

  /**
   * Takes over the longest file of a blob, or copies it if another run uses it: that run may not have noticed that its link is dead.
   * Removes the shorter files that no run uses.
   */
  async #takeOver(digest: Digest, size: number): Promise<ResumableFile | undefined> {
    const path = this.#ownPath(digest);
    let taken: ResumableFile | undefined;
    for (const file of await filesOfBlob(this.#folder, digest)) {
      if (taken === undefined && file.size <= size) {
        try {
          if (file.isFree) await rename(file.path, path); // only one of two runs succeeds
          else await copyFile(file.path, path, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
          taken = await ResumableFile.reopen(path, size);
        } catch {
          await rm(path, { force: true }); // another run has taken it over, or it cannot be resumed
        }
      } else if (file.isFree) await rm(file.path, { force: true });
    }
    return taken;
  }

  #ownPath(digest: Digest): string {
    return join(this.#folder, `${hexOf(digest)}.${this.#options.runId}`);
  }

  async #freeBytes(): Promise<number> {
    return (await freeBytes(this.#folder))?.bytes ?? Infinity; // unknown on some file systems
  }

  async #trim(): Promise<void> {
    await trimCache(this.#folder, this.#limits);
  }

  /** Creates the folder, and returns whether only this user can access it. */
  async #isOpen(): Promise<boolean> {
    return await (this.#opened ??= this.#isSafe({ make: true }));
  }

  async #isSafe({ make } = { make: false }): Promise<boolean> {
    const cache = cacheFolder(this.#options.env);
    if (cache === undefined) return false;
    try {
      const folder = join(openPrivateFolder(cache, { make }), RESUME_CACHE_FOLDER);
      if (make) await mkdir(folder, { recursive: true, mode: 0o700 });
      const found = await lstat(folder);
      if (!found.isDirectory() || !isPrivate(found)) return false;
      this.#folder = folder;
      return true;
    } catch {
      return false;
    }
  }
}

/** Returns the key of a layer's partial rebuild, which is not a blob and must not be treated as one. */
export function partialRebuildKey(diffId: Digest): Digest {
  return digestOf(Buffer.from(`half made ${diffId}`));
}
