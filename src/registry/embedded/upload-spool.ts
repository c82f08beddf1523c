import { createHash, type Hash } from "node:crypto";
import { open, rm, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import type { RunId } from "../../run/run-id.ts";
import { makeSpoolFolder } from "../../run/spool-folder.ts";
import { isNoSpace } from "../../files/no-space.ts";
import { removeFolder } from "../../files/remove-folder.ts";
import type { Digest } from "../../image/digest.ts";
import { Failure } from "../../output/errors.ts";
import { GrowingFile } from "../../streams/growing-file.ts";
import type { ByteRange, StoredBlob } from "./registry-content.ts";

/** A blob in a file of the spool, of which digest and size have been proven. */
export interface SpooledBlob extends StoredBlob {
  digest: Digest;
  /** Removes the file. Does not fail when it is gone. */
  remove(): Promise<void>;
}

/**
 * A folder that only this user can look into, for what comes in, made when the first file is. Disposing removes it with all that is in
 * it, and does not fail.
 */
export interface Spool extends AsyncDisposable {
  /** Makes the folder. Rejects with a `no-space` Failure where there can be none. */
  open(): Promise<string>;
  /** A new, empty file. Its name is ours, never the client's. */
  create(): Promise<SpoolFile>;
}

/**
 * A spool in `parent`, the user's cache folder; left out where there is none. Opening it removes those that runs which were killed have
 * left there. The folder's name carries the run's id.
 */
export function embeddedSpool(run: RunId, parent: string | undefined): Spool {
  let opened: Promise<string> | undefined;
  let count = 0;
  const folder = async (): Promise<string> => await (opened ??= makeSpoolFolder(run, parent));
  return {
    open: folder,
    async create() {
      const path = join(await folder(), String(++count));
      return new SpoolFile(path, await open(path, "wx", 0o600));
    },
    async [Symbol.asyncDispose]() {
      const path = await opened?.catch(() => {});
      if (path) await removeFolder(path);
    },
  };
}

/** A file that is being written: its bytes are counted and hashed as they come. */
export class SpoolFile {
  readonly path: string;
  readonly #file: GrowingFile;
  readonly #hash: Hash = createHash("sha256");
  #size = 0;

  constructor(path: string, handle: FileHandle) {
    this.path = path;
    this.#file = new GrowingFile(path, handle);
  }

  /** Bytes so far. */
  get size(): number {
    return this.#size;
  }

  /** Rejects with a `no-space` Failure when the disk is full. */
  async write(chunk: Buffer): Promise<void> {
    this.#hash.update(chunk);
    this.#size += chunk.length;
    try {
      await this.#file.write(chunk);
    } catch (error) {
      throw isNoSpace(error) ? noSpace(error) : error;
    }
  }

  /**
   * Its bytes, or that part of them, which may still be coming: whoever reads them waits for more. Fails when it is given up.
   * Nothing has been proven of them before the end of {@link finish}.
   */
  read(range?: ByteRange): Readable {
    return Readable.from(this.#file.read(range?.first, range?.last), { objectMode: false });
  }

  /** Ends it; nothing more can be written. */
  async finish(): Promise<SpooledBlob> {
    await this.#file.finish();
    return {
      digest: `sha256:${this.#hash.digest("hex")}`,
      size: this.#size,
      open: (range) => this.read(range),
      remove: () => rm(this.path, { force: true }),
    };
  }

  /** Gives it up. */
  async remove(): Promise<void> {
    await this.#file.giveUp(new Error("the upload has been given up"));
    await rm(this.path, { force: true });
  }
}

function noSpace(cause: unknown): Failure {
  return new Failure("no-space", "the cache folder's disk is full", {
    expected: "room for the layers that are sent, compressed, in the cache folder (~/.cache/docker-over-ssh)",
    hint: "Free some, or name a folder on a larger disk with XDG_CACHE_HOME.",
    cause,
  });
}
