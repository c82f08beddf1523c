import { createReadStream, createWriteStream } from "node:fs";
import { rm } from "node:fs/promises";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { KeptFile, StoredLayer, UnidentifiedFile } from "../image/docker/unidentified-files.ts";
import type { Digest } from "../image/digest.ts";
import { Failure } from "../output/errors.ts";
import type { UploadedLayer } from "../engine-push/probe-image.ts";
import { refuseWithoutSpace, type LazySpool } from "../run/spool.ts";
import { layerFailure } from "../store/layer-failure.ts";
import { addPushedLayer } from "./add-pushed-layer.ts";
import type { OutgoingBlobs } from "./outgoing-blobs.ts";

/**
 * Files of an archive that may be wanted layers, as they are stored, on disk until the archive tells. They go on the shelf from there:
 * a packed layer keeps its digest so, and nobody packs it twice. There may be as many as the disk has room for, and no more than
 * the archive's reader gives at a time (`MAX_UNKNOWN`).
 */
export class UnidentifiedBlobs {
  readonly #outgoing: OutgoingBlobs;
  readonly #spool: LazySpool;
  readonly #paths = new Set<string>();
  #count = 0;

  constructor(outgoing: OutgoingBlobs, spool: LazySpool) {
    this.#outgoing = outgoing;
    this.#spool = spool;
  }

  /** Whether the receiver may still want to read one of those that were layers. */
  get hasWaitingFiles(): boolean {
    return this.#paths.size > 0;
  }

  /** A blob that has no room is let pass: perhaps nobody wants it. */
  async keep(stream: Readable, { size }: UnidentifiedFile): Promise<KeptFile> {
    let path: string | undefined;
    try {
      const spool = await this.#spool.open();
      await refuseWithoutSpace(spool, size);
      path = spool.pathFor(`unknown-${(this.#count += 1)}`);
      this.#paths.add(path);
      await pipeline(stream, createWriteStream(path, { flags: "wx", mode: 0o600 }));
      return this.#kept(path);
    } catch (error) {
      if (path !== undefined) await this.#remove(path);
      const failure = layerFailure(error, "sent");
      if (failure instanceof Failure && failure.code === "no-space") return withoutRoom(failure);
      throw error;
    }
  }

  #kept(path: string): KeptFile {
    return {
      identified: async (diffId, stored) => {
        if (stored === undefined) throw new Error("it has been kept whole");
        await addPushedLayer(this.#outgoing, this.#layer(path, diffId, stored), stored.mediaType);
      },
      discard: async () => await this.#remove(path),
    };
  }

  #layer(path: string, diffId: Digest, { digest, size }: StoredLayer): UploadedLayer {
    return {
      diffId,
      digest,
      size,
      open: ({ first, last } = { first: 0, last: size - 1 }) => createReadStream(path, { start: first, end: last }),
      remove: async () => await this.#remove(path),
    };
  }

  async #remove(path: string): Promise<void> {
    await rm(path, { force: true });
    this.#paths.delete(path);
  }
}

function withoutRoom(failure: Failure): KeptFile {
  return { identified: async () => await Promise.reject(failure), discard: async () => {} };
}
