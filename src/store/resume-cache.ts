import { constants } from "node:fs";
import { copyFile, lstat, mkdir, rename, rm, rmdir, statfs } from "node:fs/promises";
import { join } from "node:path";
import type { RunId } from "../run/run-id.ts";
import { cacheFolder } from "../files/cache-folder.ts";
import { isPrivate, openOwnFolder } from "../files/own-folder.ts";
import { digestOf, hexOf, type Digest } from "../image/digest.ts";
import type { Descriptor } from "../image/manifest.ts";
import { resolveWithin } from "../streams/resolve-within.ts";
import { ResumableFile } from "./resumable-file.ts";
import { resumeCacheFiles, ownFile, type CachedFile } from "./resume-cache-files.ts";

const GB = 1_000_000_000;

/** Of all that waits to be continued. The oldest goes first. */
export const LIMITS = {
  /** Bytes. */
  size: 10 * GB,
  /** ms since it was last written to: who has not come back in a week has found another way. */
  age: 7 * 24 * 3600 * 1000,
};

/** What an engine needs of a disk that this file may be on, too: its copy of the archive, the layer, and both of another one. */
const SHARE_OF_FREE = 1 / 4;

/** ms for a file to be closed that is not read any more. */
const LAST_WRITES = 1000;

export interface ResumeCacheOptions {
  env: NodeJS.ProcessEnv;
  run: RunId;
  limits?: typeof LIMITS;
  /** Hears, when this is disposed of, of so many bytes that the next run need not fetch. */
  onKept?: (bytes: number) => void;
}

/**
 * What has arrived of layers, so that a run that is stopped, killed or cut off is continued by the next, whatever command that is.
 * A file for each blob, in a folder of the user's cache. A run takes one over by giving it its own name, which only one can
 * do; what another run is at, it leaves alone, and takes a copy of. Nothing in here is relied on: who continues a
 * layer proves all of it. No trouble with the folder is ever a transfer's: what cannot be kept is not.
 */
export class ResumeCache implements AsyncDisposable {
  /** Its path leads to the folder that was looked at, and to no other; empty as long as there is none. */
  #folder = "";
  readonly #options: ResumeCacheOptions;
  readonly #limits: typeof LIMITS;
  readonly #taken = new Map<Digest, ResumableFile>();
  /** What was asked after, or taken. */
  readonly #asked = new Set<Digest>();
  /** Bytes that this run's files may come to have. */
  #promised = 0;
  #opened: Promise<boolean> | undefined;

  constructor(options: ResumeCacheOptions) {
    this.#options = options;
    this.#limits = options.limits ?? LIMITS;
  }

  /** Which of these blobs have been begun. What is too old, or too much, goes before. */
  async begun(digests: readonly Digest[]): Promise<Digest[]> {
    if (!(await this.#isSafe())) return [];
    for (const digest of digests) this.#asked.add(digest).add(partialRebuildKey(digest));
    await this.#trim();
    const there = new Set(
      (await resumeCacheFiles(this.#folder)).filter(({ size }) => size > 0).map(({ digest }) => digest),
    );
    return digests.filter((digest) => there.has(digest));
  }

  /** Bytes that are here of a blob. */
  async bytesOf(digest: Digest): Promise<number> {
    return (await this.#longestOf(digest))?.size ?? 0;
  }

  /** Bytes that are on the disk of a layer that is half made of pieces: its file has holes where others are missing. */
  async bytesOfPartialRebuild(diffId: Digest): Promise<number> {
    const { size, allocated } = (await this.#longestOf(partialRebuildKey(diffId))) ?? { size: 0, allocated: 0 };
    return Math.min(size, allocated);
  }

  async #longestOf(digest: Digest): Promise<CachedFile | undefined> {
    this.#asked.add(digest);
    return (await this.#isSafe()) ? (await this.#filesOf(digest))[0] : undefined;
  }

  /** These blobs are of the image, too, and need not come: what is left of them goes when the image is in its place. */
  concerns(digests: Iterable<Digest>): void {
    for (const digest of digests) this.#asked.add(digest).add(partialRebuildKey(digest));
  }

  /** The file of a blob, for this run alone until it is disposed of; undefined where there can be none. */
  async take({ digest, size }: Descriptor): Promise<ResumableFile | undefined> {
    const file = await this.#take(digest, size);
    if (file !== undefined) this.#promised += size;
    return file;
  }

  /** The file of a layer that is made of pieces, with holes in it; how large it is to be, nobody knows yet. */
  async takePartialRebuild(diffId: Digest): Promise<ResumableFile | undefined> {
    return await this.#take(partialRebuildKey(diffId), Infinity);
  }

  async #take(digest: Digest, size: number): Promise<ResumableFile | undefined> {
    if (this.#taken.has(digest) || !(await this.#isOpen())) return undefined;
    this.#asked.add(digest);
    try {
      const file = (await this.#takeOver(digest, size)) ?? (await ResumableFile.create(this.#ownPath(digest)));
      this.#taken.set(digest, file);
      return file;
    } catch {
      return undefined;
    }
  }

  /** The same, where it would only be there for the next run: undefined where it might take room that is needed. */
  async takeIfRoom(blob: Descriptor): Promise<ResumableFile | undefined> {
    if (this.#promised + blob.size > this.#limits.size || !(await this.#isOpen())) return undefined;
    const free = await this.#freeBytes();
    const [there = 0] = (await this.#filesOf(blob.digest)).map(({ size }) => size);
    return blob.size - there > free * SHARE_OF_FREE ? undefined : await this.take(blob);
  }

  /** Gives up a file that this run has. */
  async drop(file: ResumableFile): Promise<void> {
    for (const [digest, one] of this.#taken) if (one === file) this.#taken.delete(digest);
    await file.remove();
  }

  /** Makes room for so many bytes, as far as it can be made of what nobody is at. */
  async makeRoom(bytes: number): Promise<void> {
    if (!(await this.#isSafe())) return;
    const others = (await resumeCacheFiles(this.#folder)).filter(({ isFree }) => isFree).toSorted(byAge);
    // Where all of them together do not make it, none has to go: the sender may say any size.
    if ((await this.#freeBytes()) + others.reduce((sum, { size }) => sum + size, 0) < bytes) return;
    for (const { path } of others) {
      if ((await this.#freeBytes()) >= bytes) return;
      await rm(path, { force: true }).catch(() => {});
    }
  }

  /** A layer was continued that turned out to be wrong. */
  get hasResumedInvalidFile(): boolean {
    return [...this.#taken.values()].some(({ resumedBytes, isInvalid }) => resumedBytes > 0 && isInvalid);
  }

  /** The image is in its place, or is not to be had: what came of it is not to be continued. */
  async forget(): Promise<void> {
    for (const file of this.#taken.values()) await file.remove();
    this.#taken.clear();
    // What another run has left of the same layers, which then came in another way.
    if (this.#asked.size === 0 || !(await this.#isSafe())) return;
    const others = await resumeCacheFiles(this.#folder);
    for (const { path } of others.filter(({ digest, isFree }) => isFree && this.#asked.has(digest))) {
      await rm(path, { force: true }).catch(() => {});
    }
    await rmdir(this.#folder).catch(() => {}); // there is more in it
  }

  /** Lets go of what it has, so that the next run finds it. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#taken.size === 0) return;
    let kept = 0;
    for (const [digest, file] of this.#taken) {
      await resolveWithin(LAST_WRITES, file.close());
      const { size } = (await ownFile(file.path)) ?? { size: 0 };
      if (size === 0 || file.isInvalid) await file.remove();
      else kept += await this.#letGo(digest, file.path, size);
    }
    await rmdir(this.#folder).catch(() => {}); // there is more in it
    this.#taken.clear();
    await this.#trim();
    if (kept > 0) this.#options.onKept?.(kept);
  }

  /** Another run may have let go of one of the same blob in the meantime: the longer one stays. */
  async #letGo(digest: Digest, path: string, size: number): Promise<number> {
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
   * The longest file of the blob, or a copy of it where another run is at it, which may have lost its link and not know of that
   * yet. The shorter ones that nobody is at go.
   */
  async #takeOver(digest: Digest, size: number): Promise<ResumableFile | undefined> {
    const path = this.#ownPath(digest);
    let taken: ResumableFile | undefined;
    for (const file of await this.#filesOf(digest)) {
      if (taken === undefined && file.size <= size) {
        try {
          if (file.isFree) await rename(file.path, path); // of two runs, one finds it
          else await copyFile(file.path, path, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
          taken = await ResumableFile.reopen(path, size);
        } catch {
          await rm(path, { force: true }); // it is gone, or is no file that could be continued
        }
      } else if (file.isFree) await rm(file.path, { force: true });
    }
    return taken;
  }

  /** The longest first; that of a run that was killed before any of the blob had come is empty. */
  async #filesOf(digest: Digest): Promise<CachedFile[]> {
    return (await resumeCacheFiles(this.#folder))
      .filter((file) => file.digest === digest)
      .toSorted((one, other) => other.size - one.size);
  }

  #ownPath(digest: Digest): string {
    return join(this.#folder, `${hexOf(digest)}.${this.#options.run}`);
  }

  async #freeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(this.#folder);
    return bavail * bsize;
  }

  /** Whether there is now a folder that only this user can look into. */
  async #isOpen(): Promise<boolean> {
    return await (this.#opened ??= this.#isSafe({ make: true }));
  }

  async #isSafe({ make } = { make: false }): Promise<boolean> {
    const cache = cacheFolder(this.#options.env);
    if (cache === undefined) return false;
    try {
      const folder = join(openOwnFolder(cache, { make }), "kept");
      if (make) await mkdir(folder, { recursive: true, mode: 0o700 });
      const found = await lstat(folder);
      if (!found.isDirectory() || !isPrivate(found)) return false;
      this.#folder = folder;
      return true;
    } catch {
      return false;
    }
  }

  async #trim(): Promise<void> {
    let size = 0;
    for (const file of (await resumeCacheFiles(this.#folder))
      .filter(({ isFree }) => isFree)
      .toSorted(byAge)
      .toReversed()) {
      size += file.size;
      if (Date.now() - file.at <= this.#limits.age && size <= this.#limits.size) continue;
      size -= file.size;
      await rm(file.path, { force: true }).catch(() => {});
    }
  }
}

function byAge(one: CachedFile, other: CachedFile): number {
  return one.at - other.at;
}

/** What a layer that is half made of pieces is kept under: it is no blob, and must not be taken for one. */
export function partialRebuildKey(diffId: Digest): Digest {
  return digestOf(Buffer.from(`half made ${diffId}`));
}
