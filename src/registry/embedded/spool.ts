import { createHash, type Hash } from "node:crypto";
import { open, rm, type FileHandle } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import type { RunId } from "../../engine/run-id.ts";
import { makeSpoolFolder } from "../../engine/spool-folder.ts";
import type { Digest } from "../../image/digest.ts";
import { Failure } from "../../output/errors.ts";
import { GrowingFile } from "../../streams/growing-file.ts";
import type { ByteRange, StoredBlob } from "./content.ts";

/** A blob in a file of the spool, of which digest and size have been proven. */
export interface SpooledBlob extends StoredBlob {
  digest: Digest;
  /** Removes the file. Does not fail when it is gone. */
  remove(): Promise<void>;
}

/** A folder that only this user can look into, for what comes in. Disposing removes it with all that is in it. */
export interface Spool extends AsyncDisposable {
  readonly folder: string;
  /** A new, empty file. Its name is ours, never the client's. */
  create(): Promise<SpoolFile>;
}

/**
 * Makes a spool in `parent`, and removes those that runs which were killed have left there.
 * The folder's name carries the run's id.
 */
export async function openSpool(run: RunId, parent: string = tmpdir()): Promise<Spool> {
  const folder = await makeSpoolFolder(run, parent);
  let count = 0;
  return {
    folder,
    async create() {
      const path = join(folder, String(++count));
      return new SpoolFile(path, await open(path, "wx", 0o600));
    },
    async [Symbol.asyncDispose]() {
      await rm(folder, { recursive: true, force: true });
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
      throw isFull(error) ? noSpace(this.path, error) : error;
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

function isFull(error: unknown): boolean {
  return ["ENOSPC", "EDQUOT"].includes(String((error as NodeJS.ErrnoException).code));
}

function noSpace(path: string, cause: unknown): Failure {
  return new Failure("no-space", `the disk of ${dirname(path)} is full`, {
    expected: "room for the layers that are sent, compressed",
    hint: "Free some, or name a folder on a larger disk with TMPDIR.",
    cause,
  });
}
