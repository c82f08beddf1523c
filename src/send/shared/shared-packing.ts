import { open } from "node:fs/promises";
import { Readable } from "node:stream";
import { hexOf, type Digest } from "../../image/digest.ts";
import { compressionInMediaType } from "../../image/layer/compression.ts";
import { PacedPacker, type Packing } from "../../packing/paced-packer.ts";
import type { PackedSize } from "../../packing/packed-sizes.ts";
import type { PackedPart, StoredBlob } from "../../registry/embedded/pull/registry-content.ts";
import type { LazySpool } from "../../run/spool.ts";
import { FollowedFile } from "../../streams/followed-file.ts";
import { GrowingFile } from "../../streams/growing-file.ts";
import { OutgoingDeltas, type OutgoingDeltasOptions } from "../outgoing-deltas.ts";
import type { SpooledLayer } from "./spooled-layers.ts";

export interface SharedPackingOptions extends Pick<OutgoingDeltasOptions, "onNoSpace"> {
  packing: Packing;
  spool: LazySpool;
  /** Distinguishes the files of this packing from those of other packings. */
  name: string;
  /** Ends the packing. */
  signal: AbortSignal;
  onFailure: (error: unknown) => void;
}

/** The layers for receivers with the same codec and level. Each layer is packed once into a file, and cut once. */
export class SharedPacking implements AsyncDisposable {
  readonly #options: SharedPackingOptions;
  readonly #packer: PacedPacker;
  readonly #files = new Map<Digest, Promise<FollowedFile>>();
  readonly #writing = new Set<Promise<void>>();
  readonly deltas: OutgoingDeltas;

  constructor(options: SharedPackingOptions) {
    const { packing, spool, name, onFailure, onNoSpace } = options;
    this.#options = options;
    this.#packer = new PacedPacker(packing);
    this.deltas = new OutgoingDeltas({ spool, packer: this.#packer, onFailure, onNoSpace, shared: { name } });
  }

  /** Returns a layer as a blob for one of the receivers. A plain layer is also packed. */
  blobOf(diffId: Digest, { descriptor, blob }: SpooledLayer): StoredBlob {
    // A blob of an index is named by its own digest, compressed or not.
    if (descriptor.digest !== diffId || compressionInMediaType(descriptor.mediaType) !== "none") return blob;
    const whole = (): Readable => Readable.from(this.#packed(diffId, blob), { objectMode: false });
    // The rest of a layer, for a receiver that has its beginning, is packed for that receiver alone.
    const rest = (first: number): Readable =>
      Readable.from(this.#packer.pack(rangeOf(blob, first)), { objectMode: false });
    const isFile = this.#options.packing.codec !== undefined; // otherwise packing is only framing
    const packed = (first: number): PackedPart => ({ first, stream: first === 0 && isFile ? whole() : rest(first) });
    const packedSize = async (rate: number): Promise<PackedSize> =>
      await this.#packer.sizeOf(await blob.open(), blob.size, rate);
    return { ...blob, packed, packedSize };
  }

  async *#packed(diffId: Digest, blob: StoredBlob): AsyncGenerator<Buffer> {
    const file = this.#files.get(diffId) ?? this.#begin(diffId, blob);
    this.#files.set(diffId, file);
    yield* (await file).read();
  }

  async #begin(diffId: Digest, blob: StoredBlob): Promise<FollowedFile> {
    const { spool, name, signal, onFailure } = this.#options;
    try {
      const path = (await spool.open()).pathFor(`${hexOf(diffId)}.${name}`);
      const file = new FollowedFile(new GrowingFile(path, await open(path, "wx", 0o600)));
      const packed = this.#packer.pack(rangeOf(blob, 0));
      const writing = file.writeAll(packed, signal).catch((error: unknown) => {
        if (!signal.aborted) onFailure(error);
      });
      this.#writing.add(writing);
      return file;
    } catch (error) {
      onFailure(error);
      throw error;
    }
  }

  /** Resolves when nothing is being packed or cut. Call it after the signal is aborted. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#writing);
    await this.deltas[Symbol.asyncDispose]();
  }
}

async function* rangeOf(blob: StoredBlob, first: number): AsyncGenerator<Buffer> {
  yield* (await blob.open(first === 0 ? undefined : { first, last: blob.size - 1 })) as AsyncIterable<Buffer>;
}
