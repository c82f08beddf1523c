import { Readable } from "node:stream";
import type { AnnouncedLayer, Offer } from "../conversation.ts";
import { digestOf, hexOf, type Digest } from "../image/digest.ts";
import { MEDIA_TYPE, writeManifest, type Descriptor } from "../image/manifest.ts";
import type { Codec, Effort } from "../packing/codecs.ts";
import { pack } from "../packing/pack.ts";
import type { RegistryContent, StoredBlob, StoredManifest } from "../registry/embedded/content.ts";
import type { Spool } from "../store/spool.ts";
import { deferred } from "../streams/deferred.ts";
import { GrowingFile } from "./growing-file.ts";

/** Packed bytes that wait for the link from which on it is the link that is slow: packing gets more effort then. */
const LINK_IS_SLOW = 16_000_000;
/** Packed bytes that a link must have taken as fast as they came, to be known as one that packing should not slow down. */
const LINK_IS_FAST = 32_000_000;

export interface ShelfOptions {
  spool: Spool;
  offer: Offer;
  /** Of the image, bottom first. */
  diffIds: readonly Digest[];
  /** Left out: the receiver unpacks nothing. */
  codec: Codec | undefined;
  /** Hears of each layer once: from then on it can be fetched. */
  announce: (layer: AnnouncedLayer) => void;
}

/**
 * What the receiver wants of an image, put there layer by layer, and given from there as a registry. A layer can be fetched
 * from the moment that it is begun: who reads it is given what there is, and waits for more. Manifest and config come last.
 */
export class Shelf implements AsyncDisposable {
  readonly content: RegistryContent;
  readonly #options: ShelfOptions;
  readonly #layers = new Map<Digest, Descriptor>();
  readonly #blobs = new Map<Digest, StoredBlob>();
  readonly #files: GrowingFile[] = [];
  readonly #manifest = deferred<StoredManifest>();

  constructor(options: ShelfOptions) {
    this.#options = options;
    this.#manifest.promise.catch(() => {});
    const { offer } = options;
    this.content = {
      manifest: async (repository, reference) => {
        if (repository !== offer.repository) return undefined;
        const manifest = await this.#manifest.promise;
        return reference === offer.tag || reference === manifest.digest ? manifest : undefined;
      },
      blob: async (repository, digest) => (repository === offer.repository ? this.#blobs.get(digest) : undefined),
      tags: async (repository) => (repository === offer.repository ? [offer.tag] : undefined),
    };
  }

  has(diffId: Digest): boolean {
    return this.#layers.has(diffId);
  }

  /** A layer as it is stored, which the receiver gets so. The blob is the caller's, and stays until this is disposed of. */
  keep(diffId: Digest, descriptor: Descriptor, blob: StoredBlob): void {
    this.#put(diffId, descriptor, blob);
  }

  /** The same, while it comes. `bytes` is to fail, at its end at the latest, when they are not the blob's. */
  async take(diffId: Digest, descriptor: Descriptor, bytes: AsyncIterable<Buffer>): Promise<void> {
    const file = await this.#fileFor(diffId);
    this.#put(diffId, descriptor, { size: descriptor.size, open: () => file.read() });
    await file.writeAll(bytes);
  }

  /**
   * A plain layer of `size` bytes, packed while it comes. The receiver gets it plain again. `plain` is to fail, at its end at the
   * latest, when its bytes are not the layer's: they are not hashed here once more.
   */
  async pack(diffId: Digest, size: number, plain: AsyncIterable<Buffer>): Promise<void> {
    const { codec } = this.#options;
    const file = await this.#fileFor(diffId);
    const descriptor = { mediaType: MEDIA_TYPE.ociLayer, digest: diffId, size };
    const open = (): Promise<Readable> => Promise.reject(new Error("only packed"));
    this.#put(diffId, descriptor, { size, open, packed: () => file.read() });
    await file.writeAll(pack(plain, { codec, effort: () => this.#effort() }));
  }

  /**
   * All wanted layers are there. The manifest is the image's own where it has one; else it names them, and the others stand there
   * by their diff ID, and cannot be had.
   */
  finish(config: Buffer, stored?: { bytes: Buffer; descriptor: Descriptor }): void {
    const digest = digestOf(config);
    this.#blobs.set(digest, {
      size: config.length,
      open: () => Readable.from([config], { objectMode: false }),
    });
    const { bytes, descriptor } = stored ?? this.#compose({ digest, size: config.length });
    this.#manifest.resolve({ ...descriptor, bytes });
  }

  #compose(config: { digest: Digest; size: number }): { bytes: Buffer; descriptor: Descriptor } {
    return writeManifest({
      mediaType: MEDIA_TYPE.ociManifest,
      config: { mediaType: MEDIA_TYPE.ociConfig, ...config },
      layers: this.#options.diffIds.map(
        (diffId) => this.#layers.get(diffId) ?? { mediaType: MEDIA_TYPE.ociLayer, digest: diffId, size: 0 },
      ),
    });
  }

  async #fileFor(diffId: Digest): Promise<GrowingFile> {
    const file = await GrowingFile.create(this.#options.spool.pathFor(hexOf(diffId)));
    this.#files.push(file);
    return file;
  }

  #put(diffId: Digest, descriptor: Descriptor, blob: StoredBlob): void {
    this.#layers.set(diffId, descriptor);
    this.#blobs.set(descriptor.digest, blob);
    this.#options.announce({ diffId, ...descriptor });
  }

  #effort(): Effort {
    const waiting = this.#files.reduce((all, file) => all + file.unread, 0);
    if (waiting > LINK_IS_SLOW) return "strong";
    const taken = this.#files.reduce((all, file) => all + file.size, 0) - waiting;
    return taken > LINK_IS_FAST && waiting < LINK_IS_SLOW / 4 ? "light" : "medium";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#manifest.reject(new Error("it is not being sent any more"));
    for (const file of this.#files) await file[Symbol.asyncDispose]();
  }
}
