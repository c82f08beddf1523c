import { open } from "node:fs/promises";
import { Readable } from "node:stream";
import { hexOf, type Digest } from "../../image/digest.ts";
import { MEDIA_TYPE, type Descriptor, type EncodedManifest } from "../../image/manifest.ts";
import type { ByteRange, StoredBlob } from "../../registry/embedded/pull/registry-content.ts";
import { refuseWithoutSpoolSpace, type LazySpool } from "../../run/spool.ts";
import { deferred, type Deferred } from "../../streams/deferred.ts";
import { GrowingFile } from "../../streams/growing-file.ts";
import type { OutgoingLayers } from "../outgoing-layers.ts";

/** A layer as its source provides it, which can be read repeatedly, also while it grows. */
export interface SpooledLayer {
  descriptor: Descriptor;
  blob: StoredBlob;
}

/** Manifest and config, which are available after all layers. */
export interface SpooledMetadata {
  config: Buffer;
  /** Undefined if the image has no stored manifest. */
  manifest: EncodedManifest | undefined;
}

/**
 * Receives the layers of exports for several receivers. Each layer is read from its source once, at the speed of the source, into a file of
 * the spool, unless it is already in a file.
 */
export class SpooledLayers implements OutgoingLayers {
  readonly #spool: LazySpool;
  readonly #layers = new Map<Digest, Deferred<SpooledLayer>>();
  readonly #metadata = deferred<SpooledMetadata>();
  readonly #added = new Set<Digest>();
  #lastCopy: Promise<void> = Promise.resolve();

  constructor(spool: LazySpool) {
    this.#spool = spool;
    this.#metadata.promise.catch(() => {}); // the callers of metadata() get the error
  }

  has(diffId: Digest): boolean {
    return this.#added.has(diffId);
  }

  /** Resolves to a layer when it has been added, even if its bytes have not yet arrived. Rejects with the error of {@link fail}. */
  async get(diffId: Digest): Promise<SpooledLayer> {
    return await this.#layer(diffId).promise;
  }

  /** Resolves when an export has been finished. Rejects with the error of {@link fail}. */
  async metadata(): Promise<SpooledMetadata> {
    return await this.#metadata.promise;
  }

  async addStored(diffId: Digest, descriptor: Descriptor, blob: StoredBlob): Promise<void> {
    if (blob.isInFile === true) this.#add(diffId, { descriptor, blob });
    else void this.#copy(diffId, descriptor, async () => await blob.open()).catch(() => {}); // copied() rejects with it
  }

  async addStoredStream(diffId: Digest, descriptor: Descriptor, blobBytes: AsyncIterable<Buffer>): Promise<void> {
    await this.#copy(diffId, descriptor, async () => blobBytes);
  }

  async addPlainStream(diffId: Digest, size: number, tar: AsyncIterable<Buffer>): Promise<void> {
    await this.#copy(diffId, { mediaType: MEDIA_TYPE.ociLayer, digest: diffId, size }, async () => tar);
  }

  finish(config: Buffer, manifest?: EncodedManifest): void {
    this.#metadata.resolve({ config, manifest });
  }

  continueWithoutSpool(error: unknown): false {
    throw error;
  }

  /** Resolves when the files have all bytes. Rejects with the first error. */
  async copied(): Promise<void> {
    await this.#lastCopy;
  }

  /** Rejects the pending calls for layers and metadata that have not been added. */
  fail(error: unknown): void {
    this.#metadata.reject(error);
    for (const { reject } of this.#layers.values()) reject(error);
  }

  #layer(diffId: Digest): Deferred<SpooledLayer> {
    const found = this.#layers.get(diffId) ?? deferred<SpooledLayer>();
    found.promise.catch(() => {}); // as above
    this.#layers.set(diffId, found);
    return found;
  }

  #add(diffId: Digest, layer: SpooledLayer): void {
    this.#added.add(diffId);
    this.#layer(diffId).resolve(layer);
  }

  /** Copies a layer when the layers before it are complete: receivers fetch the lowest first. */
  #copy(diffId: Digest, descriptor: Descriptor, read: () => Promise<AsyncIterable<Buffer>>): Promise<void> {
    const { size } = descriptor;
    const file = deferred<GrowingFile>();
    file.promise.catch(() => {}); // as above
    async function* bytes(range: ByteRange | undefined): AsyncGenerator<Buffer> {
      yield* (await file.promise).read(range?.first, range?.last ?? size - 1);
    }
    const blob = { size, open: (range?: ByteRange) => Readable.from(bytes(range), { objectMode: false }) };
    this.#add(diffId, { descriptor, blob });
    this.#lastCopy = this.#lastCopy.then(async () => {
      try {
        file.resolve(await this.#newFile(diffId, size));
        await fill(await file.promise, await read());
      } catch (error) {
        file.reject(error);
        throw error;
      }
    });
    return this.#lastCopy;
  }

  async #newFile(diffId: Digest, size: number): Promise<GrowingFile> {
    const spool = await this.#spool.open();
    await refuseWithoutSpoolSpace(spool, size);
    const path = spool.pathFor(`${hexOf(diffId)}.stored`);
    return new GrowingFile(path, await open(path, "wx", 0o600));
  }
}

async function fill(file: GrowingFile, bytes: AsyncIterable<Buffer>): Promise<void> {
  try {
    for await (const chunk of bytes) await file.write(chunk);
    await file.finish();
  } catch (error) {
    await file.giveUp(error as Error);
    throw error;
  }
}
