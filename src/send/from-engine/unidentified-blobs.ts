import { createReadStream, createWriteStream } from "node:fs";
import { rm } from "node:fs/promises";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { FileCopy, StoredLayer, UnidentifiedFile } from "../../image/docker/unidentified-files.ts";
import type { Digest } from "../../image/digest.ts";
import { Failure } from "../../output/errors.ts";
import type { SpooledLayer } from "../../engine-push/dry-push.ts";
import { refuseWithoutSpoolSpace, type LazySpool } from "../../run/spool.ts";
import { layerFailure } from "../../store/layer-failure.ts";
import { addLayerFile } from "./add-layer-file.ts";
import type { OutgoingLayers } from "../outgoing-layers.ts";

/**
 * Writes unidentified files of a saved archive to disk, as they are stored: files that may be wanted layers, which only the archive's
 * manifest shows. Wanted layers become outgoing blobs from these files, so a compressed layer keeps its digest, and is not compressed
 * twice. Bounded by the disk's free space, and by the archive's reader (`MAX_UNIDENTIFIED` files).
 */
export class UnidentifiedBlobs {
  readonly #outgoing: OutgoingLayers;
  readonly #spool: LazySpool;
  readonly #paths = new Set<string>();
  #count = 0;

  constructor(outgoing: OutgoingLayers, spool: LazySpool) {
    this.#outgoing = outgoing;
    this.#spool = spool;
  }

  /** Whether the receiver may still read a layer from a file. */
  get hasFiles(): boolean {
    return this.#paths.size > 0;
  }

  /** Writes an unidentified file to disk. Skips it if the disk has no space for it, which is an error only if it is wanted. */
  async keep(stream: Readable, { size }: UnidentifiedFile): Promise<FileCopy> {
    let path: string | undefined;
    try {
      const spool = await this.#spool.open();
      await refuseWithoutSpoolSpace(spool, size);
      path = spool.pathFor(`unidentified-${(this.#count += 1)}`);
      this.#paths.add(path);
      await pipeline(stream, createWriteStream(path, { flags: "wx", mode: 0o600 }));
      return this.#fileCopyAt(path);
    } catch (error) {
      if (path !== undefined) await this.#remove(path);
      const failure = layerFailure(error, "sent");
      if (failure instanceof Failure && failure.code === "no-space") return skipped(failure);
      throw error;
    }
  }

  #fileCopyAt(path: string): FileCopy {
    return {
      identified: async (diffId, stored) => {
        if (stored === undefined) throw new Error("a file that was written completely has no digest");
        await addLayerFile(this.#outgoing, this.#layerAt(path, diffId, stored), stored.mediaType);
      },
      discard: async () => await this.#remove(path),
    };
  }

  #layerAt(path: string, diffId: Digest, { digest, size }: StoredLayer): SpooledLayer {
    return {
      diffId,
      digest,
      size,
      isInFile: true,
      open: ({ first, last } = { first: 0, last: size - 1 }) => createReadStream(path, { start: first, end: last }),
      remove: async () => await this.#remove(path),
    };
  }

  async #remove(path: string): Promise<void> {
    await rm(path, { force: true });
    this.#paths.delete(path);
  }
}

/** A file that was not written. */
function skipped(failure: Failure): FileCopy {
  return { identified: async () => await Promise.reject(failure), discard: async () => {} };
}
