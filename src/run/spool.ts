import { join } from "node:path";
import { CACHE_FOLDER, cacheFolder } from "../files/cache-folder.ts";
import { freeBytes } from "../files/free-bytes.ts";
import { removeFolder } from "../files/remove-folder.ts";
import { bytes } from "../output/describe.ts";
import { Failure } from "../output/errors.ts";
import type { RunId } from "./run-id.ts";
import { makeSpoolFolder } from "./spool-folder.ts";

/** A folder for files of this run, which only this user can read. Disposing removes it with its files, and never fails. */
export interface Spool extends AsyncDisposable {
  readonly folder: string;
  /** Returns the path of a file in the folder. */
  pathFor(name: string): string;
}

/** A spool that the first call of `open` creates. */
export interface LazySpool extends AsyncDisposable {
  /** Rejects with a `no-space` Failure if there is no usable cache folder. */
  open(): Promise<Spool>;
}

/** Returns a spool in the user's cache folder. */
export function lazySpool(env: NodeJS.ProcessEnv, runId: RunId): LazySpool {
  return lazySpoolIn(cacheFolder(env), runId);
}

/** Returns a spool in `parent`, the user's cache folder; undefined if the user has none. */
export function lazySpoolIn(parent: string | undefined, runId: RunId): LazySpool {
  let opened: Promise<Spool> | undefined;
  return {
    open: async () => await (opened ??= openSpoolIn(parent, runId)),
    async [Symbol.asyncDispose]() {
      const spool = await opened?.catch(() => {});
      await spool?.[Symbol.asyncDispose]();
    },
  };
}

/** Opens a spool in the user's cache folder. Rejects with the same Failure as {@link LazySpool.open}. */
export async function openSpool(env: NodeJS.ProcessEnv, runId: RunId): Promise<Spool> {
  return await openSpoolIn(cacheFolder(env), runId);
}

async function openSpoolIn(parent: string | undefined, runId: RunId): Promise<Spool> {
  const folder = makeSpoolFolder(runId, parent);
  return {
    folder,
    pathFor: (name) => join(folder, name),
    // The next run removes the files that cannot be removed now. An error at this point would hide an earlier error.
    [Symbol.asyncDispose]: async () => await removeFolder(folder),
  };
}

/** Throws a `no-space` Failure if the spool's disk has no space for `size` bytes. Accepts a disk whose free bytes are unknown. */
export async function refuseWithoutSpoolSpace(spool: Spool, size: number): Promise<void> {
  const free = await freeBytes(spool.folder);
  if (free === undefined || size <= free.bytes) return;
  throw new Failure("no-space", `the cache folder's disk has no room for a layer of ${bytes(size)}`, {
    expected: `room for the missing layers in ${CACHE_FOLDER}`,
    hint: "Free some space, or name a folder on a larger disk with XDG_CACHE_HOME.",
  });
}
