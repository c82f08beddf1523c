import { createHash, type Hash } from "node:crypto";
import { open, rm, type FileHandle } from "node:fs/promises";
import { Readable } from "node:stream";
import type { RunId } from "../../../run/run-id.ts";
import { lazySpoolIn, type LazySpool } from "../../../run/spool.ts";
import { isNoSpace } from "../../../files/no-space.ts";
import { CACHE_FOLDER } from "../../../files/cache-folder.ts";
import type { Digest } from "../../../image/digest.ts";
import { Failure } from "../../../output/errors.ts";
import { GrowingFile } from "../../../streams/growing-file.ts";
import type { ByteRange, StoredBlob } from "../pull/registry-content.ts";

/** A blob in a file of the spool, with a verified digest and size. */
export interface SpooledBlob extends StoredBlob {
  digest: Digest;
  /** Removes the file. Does not fail if the file no longer exists. */
  remove(): Promise<void>;
}

/** The files of uploads, in a spool that the first upload opens. Disposing removes the spool. */
export interface UploadSpool extends LazySpool {
  /** Creates an empty file. The client cannot influence its name. Rejects as `open` does. */
  create(): Promise<UploadFile>;
}

/** @param parent the user's cache folder; undefined if there is none */
export function uploadSpool(runId: RunId, parent: string | undefined): UploadSpool {
  const spool = lazySpoolIn(parent, runId);
  let count = 0;
  return {
    ...spool,
    async create() {
      const path = (await spool.open()).pathFor(String(++count));
      return new UploadFile(path, await open(path, "wx", 0o600));
    },
  };
}

/** A file that an upload writes. Counts and hashes its bytes. */
export class UploadFile {
  readonly path: string;
  readonly #file: GrowingFile;
  readonly #hash: Hash = createHash("sha256");
  #size = 0;

  constructor(path: string, handle: FileHandle) {
    this.path = path;
    this.#file = new GrowingFile(path, handle);
  }

  /** Bytes written so far. */
  get size(): number {
    return this.#size;
  }

  /** Rejects with a `no-space` Failure if the disk is full. */
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
   * Opens the file, or a range of it, also while it is written: the stream waits for more bytes, and fails if the upload is given up. The
   * bytes are not verified before {@link finish} has resolved.
   */
  read(range?: ByteRange): Readable {
    return Readable.from(this.#file.read(range?.first, range?.last), { objectMode: false });
  }

  /** Ends the upload. Nothing more can be written after that. */
  async finish(): Promise<SpooledBlob> {
    await this.#file.finish();
    return {
      digest: `sha256:${this.#hash.digest("hex")}`,
      size: this.#size,
      isInFile: true,
      open: (range) => this.read(range),
      remove: () => rm(this.path, { force: true }),
    };
  }

  /** Gives up the upload, and removes the file. */
  async remove(): Promise<void> {
    await this.#file.giveUp(new Error("the upload has been given up"));
    await rm(this.path, { force: true });
  }
}

function noSpace(cause: unknown): Failure {
  return new Failure("no-space", "the cache folder's disk is full", {
    expected: `room for the layers that are sent, compressed, in ${CACHE_FOLDER}`,
    hint: "Free some space, or name a folder on a larger disk with XDG_CACHE_HOME.",
    cause,
  });
}
