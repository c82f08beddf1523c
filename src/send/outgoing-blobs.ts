import { Readable } from "node:stream";
import type { AnnouncedLayer, Offer } from "../conversation/messages.ts";
import { decompressLayer } from "../image/layer/decompress-layer.ts";
import { digestOf, type Digest } from "../image/digest.ts";
import { MEDIA_TYPE, encodeManifest, type Descriptor, type EncodedManifest } from "../image/manifest.ts";
import type { Detail } from "../output/details.ts";
import type { NoRoomReason } from "../output/reasons.ts";
import { PacedPacker, type Packing } from "../packing/paced-packer.ts";
import type {
  ByteRange,
  PackedPart,
  RegistryContent,
  StoredBlob,
  StoredManifest,
} from "../registry/embedded/pull/registry-content.ts";
import { deferred } from "../streams/deferred.ts";
import { byteRange } from "../streams/byte-range.ts";
import type { LazySpool } from "../run/spool.ts";
import { OutgoingDeltas, type CuttableLayer } from "./outgoing-deltas.ts";
import type { OutgoingLayers } from "./outgoing-layers.ts";
import { SingleReaderStream } from "./single-reader-stream.ts";

export interface OutgoingBlobsOptions {
  offer: Offer;
  /** The image's diff IDs, bottom first. */
  diffIds: readonly Digest[];
  /** The digest of the config if the receiver knows it. A request for it is answered when the config is available. */
  configDigest?: Digest | undefined;
  /** The image's stored manifest, which the receiver preserves. */
  manifest?: EncodedManifest | undefined;
  packing: Packing;
  /** For the files of layers that are sent by delta. If undefined, all layers are sent whole. */
  deltaSpool?: LazySpool | undefined;
  /** The cuts that several receivers share, in place of separate cuts. The caller owns them. */
  sharedDeltas?: OutgoingDeltas | undefined;
  /** Called once if there is no space for files. From then on, layers are sent by methods that need no files. */
  onNoSpace?: (reason: NoRoomReason) => void;
  /** Layers of which the receiver has a partial file. It requests them from an offset. */
  begun?: ReadonlySet<Digest>;
  /** Called once for each layer, when the receiver can fetch it. */
  announce: (layer: AnnouncedLayer) => void;
  /** Called with the error of cutting a stored layer. */
  onFailure?: (error: unknown) => void;
  /** For --verbose. */
  onDetail?: (detail: Detail) => void;
}

/**
 * The blobs that the sender serves. Layers are added one by one, and announced. The receiver can fetch a layer as soon as it is added, and
 * waits for bytes that have not yet arrived. It gets manifest and config last. A large layer is sent whole, or by delta: the sender cuts it
 * when the receiver requests its recipe.
 */
export class OutgoingBlobs implements OutgoingLayers, AsyncDisposable {
  readonly content: RegistryContent;
  readonly #options: OutgoingBlobsOptions;
  readonly #packer: PacedPacker;
  readonly #deltas: OutgoingDeltas;
  /** By diff ID. */
  readonly #layers = new Map<Digest, Descriptor>();
  readonly #blobs = new Map<Digest, StoredBlob>();
  readonly #streams = new Set<SingleReaderStream>();
  #isClosed = false;
  readonly #manifest = deferred<StoredManifest>();

  constructor(options: OutgoingBlobsOptions) {
    const { offer, configDigest, deltaSpool, sharedDeltas, onNoSpace, onFailure, packing } = options;
    this.#options = options;
    this.#packer = new PacedPacker(packing);
    const own = { spool: deltaSpool, packer: this.#packer, onNoSpace, onFailure };
    this.#deltas = sharedDeltas ?? new OutgoingDeltas(own);
    this.#manifest.promise.catch(() => {});
    this.content = {
      manifest: async (repository, reference) => {
        if (repository !== offer.repository) return undefined;
        const manifest = await this.#manifest.promise;
        return reference === offer.tag || reference === manifest.digest ? manifest : undefined;
      },
      blob: async (repository, digest) => {
        if (repository !== offer.repository) return undefined;
        if (digest === configDigest) await this.#manifest.promise; // the config is set together with it
        const replaced = this.#deltas.plain(digest, { replacesBlob: true });
        return await (replaced ?? this.#blobs.get(digest) ?? this.#deltas.plain(digest));
      },
      delta: async (repository, diffId) =>
        repository === offer.repository ? await this.#deltas.get(diffId) : undefined,
      tags: async (repository) => (repository === offer.repository ? [offer.tag] : undefined),
    };
  }

  has(diffId: Digest): boolean {
    return this.#layers.has(diffId);
  }

  /**
   * Adds a layer as a blob that can be read repeatedly. The caller owns the blob, and keeps it until this is disposed of.
   * The blob itself reports if it cannot be read.
   */
  async addStored(diffId: Digest, descriptor: Descriptor, blob: StoredBlob): Promise<void> {
    const canCut = this.#deltas.isCuttable(descriptor) && (await this.#deltas.hasRoom());
    const openPlain = async (): Promise<Readable> => decompressLayer(await blob.open(), descriptor.mediaType);
    this.#add(diffId, descriptor, blob, canCut && { cutting: "leaves-blob", openPlain });
  }

  /**
   * Adds a layer as a stream of the blob's bytes. The stream fails if they do not match the blob's digest. Resolves when the receiver has
   * read the stream, or when it has been cut.
   */
  async addStoredStream(diffId: Digest, descriptor: Descriptor, blobBytes: AsyncIterable<Buffer>): Promise<void> {
    const canCut = this.#deltas.isCuttable(descriptor) && (await this.#deltas.hasRoom());
    const stream = this.#track(new SingleReaderStream(() => blobBytes, { startsWhenRead: canCut }));
    const open = (range?: ByteRange): Readable => {
      const all = stream.read().stream;
      return range === undefined ? all : Readable.from(byteRange(all, range), { objectMode: false });
    };
    const openPlain = (): Readable => decompressLayer(stream.read().stream, descriptor.mediaType);
    this.#add(diffId, descriptor, { size: descriptor.size, open }, canCut && { cutting: "consumes-blob", openPlain });
    await this.#untilRead(diffId, stream);
  }

  /**
   * Adds a layer as a stream of its plain tar of `size` bytes, and packs it while the receiver reads it. Resolves when the receiver has
   * read the stream, or when it has been cut. The stream must fail, at its end at the latest, if its bytes do not match the layer: this
   * class does not hash them.
   */
  async addPlainStream(diffId: Digest, size: number, tar: AsyncIterable<Buffer>): Promise<void> {
    const descriptor = { mediaType: MEDIA_TYPE.ociLayer, digest: diffId, size };
    const canCut = this.#deltas.isCuttable(descriptor) && (await this.#deltas.hasRoom());
    const startsWhenRead = canCut || this.#options.begun?.has(diffId) === true;
    const openFrom = (first: number): AsyncIterable<Buffer> => (first > 0 ? byteRange(tar, { first }) : tar);
    const stream = this.#track(new SingleReaderStream(openFrom, { startsWhenRead }));
    const packed = (from: number): PackedPart => {
      const { first, stream: plain } = stream.read(from);
      return { first, stream: Readable.from(this.#packer.pack(plain), { objectMode: false }) };
    };
    const open = (): Promise<Readable> => Promise.reject(new Error("this layer is only served packed"));
    const openPlain = (): Readable => stream.read().stream;
    const packedSize = async (rate: number) => await this.#packer.sizeOf(openPlain(), size, rate);
    this.#add(
      diffId,
      descriptor,
      { size, open, packed, packedSize },
      canCut && { cutting: "consumes-blob", openPlain },
    );
    await this.#untilRead(diffId, stream);
  }

  /**
   * Makes manifest and config available. Call it when all wanted layers have been added. The manifest is the stored manifest, if the image
   * has it or the receiver preserves it. Otherwise it is composed: it names unwanted layers by their diff ID, and these cannot be fetched.
   */
  finish(config: Buffer, stored = this.#options.manifest): void {
    const digest = digestOf(config);
    this.#blobs.set(digest, { size: config.length, open: () => Readable.from([config], { objectMode: false }) });
    const { bytes: manifest, descriptor } = stored ?? this.#composeManifest({ digest, size: config.length });
    this.#manifest.resolve({ ...descriptor, bytes: manifest });
  }

  #composeManifest(config: { digest: Digest; size: number }): EncodedManifest {
    return encodeManifest({
      mediaType: MEDIA_TYPE.ociManifest,
      config: { mediaType: MEDIA_TYPE.ociConfig, ...config },
      layers: this.#options.diffIds.map(
        (diffId) => this.#layers.get(diffId) ?? { mediaType: MEDIA_TYPE.ociLayer, digest: diffId, size: 0 },
      ),
    });
  }

  #track(stream: SingleReaderStream): SingleReaderStream {
    if (this.#isClosed) throw transferOver();
    this.#streams.add(stream);
    return stream;
  }

  async #untilRead(diffId: Digest, stream: SingleReaderStream): Promise<void> {
    await stream.done();
    this.#streams.delete(stream);
    await this.#deltas.done(diffId);
  }

  /** See {@link OutgoingDeltas.continueWithoutSpool}. */
  continueWithoutSpool(error: unknown): false {
    return this.#deltas.continueWithoutSpool(error);
  }

  #add(diffId: Digest, descriptor: Descriptor, blob: StoredBlob, cuttable: CuttableLayer | false): void {
    const { digest, size } = descriptor;
    this.#layers.set(diffId, descriptor);
    this.#blobs.set(digest, blob);
    const reason = this.#deltas.reasonAgainst(descriptor);
    if (reason !== undefined) this.#options.onDetail?.({ code: "layer-not-cut", diffId, size, reason });
    const isCuttable = cuttable && this.#deltas.add(diffId, cuttable);
    this.#options.announce({ diffId, ...descriptor, ...(isCuttable && { cutting: cuttable.cutting }) });
  }

  /** Ends all streams. Resolves when no layer is being cut. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    this.#manifest.reject(transferOver());
    for (const stream of this.#streams) stream.giveUp(transferOver());
    if (this.#options.sharedDeltas === undefined) await this.#deltas[Symbol.asyncDispose]();
  }
}

function transferOver(): Error {
  return new Error("the image is no longer being sent");
}
