import { Readable } from "node:stream";
import type { AnnouncedLayer, Cutting, Offer } from "../conversation/messages.ts";
import { decompressLayer } from "../image/layer/decompress-layer.ts";
import { hasZstd } from "../image/layer/zstd-frames.ts";
import { digestOf, shortOf, type Digest } from "../image/digest.ts";
import { MEDIA_TYPE, encodeManifest, type Descriptor, type EncodedManifest } from "../image/manifest.ts";
import { bytes } from "../output/describe.ts";
import { Failure } from "../output/errors.ts";
import { PacedPacker, type Packing } from "../packing/paced-packer.ts";
import type {
  ByteRange,
  PackedPart,
  RegistryContent,
  StoredBlob,
  StoredManifest,
} from "../registry/embedded/registry-content.ts";
import { deferred } from "../streams/deferred.ts";
import { byteRange } from "../streams/byte-range.ts";
import { layerFailure } from "../store/layer-failure.ts";
import type { LazySpool } from "../run/spool.ts";
import { CutOnDemand } from "../rebuild/cut-on-demand.ts";
import { SingleReaderStream } from "./single-reader-stream.ts";
import { LayerCutter } from "../rebuild/layer-cutter.ts";

export interface OutgoingBlobsOptions {
  offer: Offer;
  /** Of the image, bottom first. */
  diffIds: readonly Digest[];
  /** The receiver may ask for this config at once, and gets it when all is there. */
  configDigest?: Digest | undefined;
  /** The image's own, which the receiver is to keep. */
  manifest?: EncodedManifest | undefined;
  packing: Packing;
  /** Where layers that are cut into pieces wait. Left out: none are. */
  cutInto?: LazySpool | undefined;
  /** Hears once when there is no room for files: layers go in ways that need none from then on. */
  onNoRoom?: (failure: Failure) => void;
  /** Layers that the receiver has the beginning of: it says from where it wants them. */
  begun?: ReadonlySet<Digest>;
  /** Hears of each layer once: from then on it can be fetched. */
  announce: (layer: AnnouncedLayer) => void;
  /** Hears why a layer that is kept could not be cut. */
  onFailure?: (error: unknown) => void;
  /** For --verbose. */
  onDetail?: (text: string) => void;
}

/**
 * What the receiver wants of an image, put there layer by layer, and given from there as a registry. A layer can be fetched
 * from the moment that it is begun: who reads it is given what there is, and waits for more. Manifest and config come last.
 *
 * A large layer is given as it is stored, or in pieces: it is cut when the receiver asks for its recipe.
 */
export class OutgoingBlobs implements AsyncDisposable {
  readonly content: RegistryContent;
  readonly #options: OutgoingBlobsOptions;
  readonly #packer: PacedPacker;
  #cutter: LayerCutter | undefined;
  #isWithoutRoom = false;
  readonly #layers = new Map<Digest, Descriptor>();
  readonly #blobs = new Map<Digest, StoredBlob | Promise<StoredBlob>>();
  readonly #cuts = new Map<Digest, CutOnDemand>();
  readonly #passing = new Set<SingleReaderStream>();
  #isClosed = false;
  readonly #manifest = deferred<StoredManifest>();

  constructor(options: OutgoingBlobsOptions) {
    this.#options = options;
    this.#packer = new PacedPacker(options.packing);
    this.#cutter = options.cutInto && new LayerCutter(options.cutInto, this.#packer);
    this.#manifest.promise.catch(() => {});
    const { offer } = options;
    this.content = {
      manifest: async (repository, reference) => {
        if (repository !== offer.repository) return undefined;
        const manifest = await this.#manifest.promise;
        return reference === offer.tag || reference === manifest.digest ? manifest : undefined;
      },
      blob: async (repository, digest) => {
        if (repository !== offer.repository) return undefined;
        if (digest === options.configDigest) await this.#manifest.promise; // which it comes with
        return await this.#blobs.get(digest);
      },
      cut: async (repository, diffId) =>
        repository === offer.repository ? await this.#cuts.get(diffId)?.pieces() : undefined,
      tags: async (repository) => (repository === offer.repository ? [offer.tag] : undefined),
    };
  }

  has(diffId: Digest): boolean {
    return this.#layers.has(diffId);
  }

  /**
   * A layer as it is stored, which the receiver gets so, or in pieces. The blob is the caller's, and stays until this is disposed of.
   * It tells its owner when it cannot be read.
   */
  async keep(diffId: Digest, descriptor: Descriptor, blob: StoredBlob): Promise<void> {
    const isCuttable = this.#isCuttable(descriptor) && (await this.#hasRoom());
    const plain = async (): Promise<Readable> => decompressLayer(await blob.open(), descriptor.mediaType);
    this.#put(diffId, descriptor, blob, isCuttable && { cutting: "leaves-blob", plain });
  }

  /** Where there is no room for files (any more), nothing is cut from now on, which is said once. Throws what is another error. */
  continueWithoutSpool(error: unknown): false {
    const failure = layerFailure(error, "sent");
    if (!(failure instanceof Failure && failure.code === "no-space")) throw error;
    this.#cutter = undefined;
    if (!this.#isWithoutRoom) this.#options.onNoRoom?.(failure);
    this.#isWithoutRoom = true;
    return false;
  }

  /**
   * The same, while it comes: resolves when the receiver has taken it, or it has been cut. `bytes` is to fail when they are not the
   * blob's.
   */
  async take(diffId: Digest, descriptor: Descriptor, bytes: AsyncIterable<Buffer>): Promise<void> {
    const isCuttable = this.#isCuttable(descriptor) && (await this.#hasRoom());
    const passing = this.#pass(new SingleReaderStream(() => bytes, { waits: isCuttable }));
    const open = (range?: ByteRange): Readable => {
      const { stream } = passing.read();
      return range === undefined ? stream : Readable.from(byteRange(stream, range), { objectMode: false });
    };
    const plain = (): Readable => decompressLayer(passing.read().stream, descriptor.mediaType);
    this.#put(diffId, descriptor, { size: descriptor.size, open }, isCuttable && { cutting: "consumes-blob", plain });
    await this.#taken(diffId, passing);
  }

  /**
   * A plain layer of `size` bytes, packed while it comes: resolves when the receiver has taken it, who gets it plain again, or it
   * has been cut. `plain` is to fail, at its end at the latest, when its bytes are not the layer's: they are not hashed here once more.
   */
  async pack(diffId: Digest, size: number, plain: AsyncIterable<Buffer>): Promise<void> {
    const descriptor = { mediaType: MEDIA_TYPE.ociLayer, digest: diffId, size };
    const isCuttable = this.#isCuttable(descriptor) && (await this.#hasRoom());
    const waits = isCuttable || this.#options.begun?.has(diffId) === true;
    const from = (first: number): AsyncIterable<Buffer> => (first > 0 ? byteRange(plain, { first }) : plain);
    const passing = this.#pass(new SingleReaderStream(from, { waits }));
    const packed = (from: number): PackedPart => {
      const { first, stream } = passing.read(from);
      return { first, stream: Readable.from(this.#packer.pack(stream), { objectMode: false }) };
    };
    const open = (): Promise<Readable> => Promise.reject(new Error("only packed"));
    const unpacked = (): Readable => passing.read().stream;
    this.#put(diffId, descriptor, { size, open, packed }, isCuttable && { cutting: "consumes-blob", plain: unpacked });
    await this.#taken(diffId, passing);
  }

  /**
   * All wanted layers are there. The manifest is the image's own where it has one or is to keep it; else it names them, and the
   * others stand there by their diff ID, and cannot be had.
   */
  finish(config: Buffer, stored = this.#options.manifest): void {
    const digest = digestOf(config);
    this.#blobs.set(digest, {
      size: config.length,
      open: () => Readable.from([config], { objectMode: false }),
    });
    const { bytes, descriptor } = stored ?? this.#compose({ digest, size: config.length });
    this.#manifest.resolve({ ...descriptor, bytes });
  }

  #compose(config: { digest: Digest; size: number }): EncodedManifest {
    return encodeManifest({
      mediaType: MEDIA_TYPE.ociManifest,
      config: { mediaType: MEDIA_TYPE.ociConfig, ...config },
      layers: this.#options.diffIds.map(
        (diffId) => this.#layers.get(diffId) ?? { mediaType: MEDIA_TYPE.ociLayer, digest: diffId, size: 0 },
      ),
    });
  }

  #pass(passing: SingleReaderStream): SingleReaderStream {
    if (this.#isClosed) throw notSent();
    this.#passing.add(passing);
    return passing;
  }

  async #taken(diffId: Digest, passing: SingleReaderStream): Promise<void> {
    await passing.done();
    this.#passing.delete(passing);
    await this.#cuts.get(diffId)?.done();
  }

  /** Is a layer, as it is stored, to be had in pieces? */
  #isCuttable(layer: StoredLayer): boolean {
    return this.#cutter !== undefined && whyWhole(this.#cutter, layer) === undefined;
  }

  /** Is there a place for pieces? */
  async #hasRoom(): Promise<boolean> {
    try {
      await this.#cutter?.openSpool();
      return true;
    } catch (error) {
      return this.continueWithoutSpool(error);
    }
  }

  #put(diffId: Digest, descriptor: Descriptor, blob: StoredBlob, inPieces: InPieces | false): void {
    this.#layers.set(diffId, descriptor);
    this.#blobs.set(descriptor.digest, blob);
    const why = this.#cutter && whyWhole(this.#cutter, descriptor);
    if (why !== undefined) {
      this.#options.onDetail?.(`layer ${shortOf(diffId)} is sent whole: ${why} (${bytes(descriptor.size)})`);
    }
    const cut = inPieces && this.#cutOnDemand(diffId, descriptor, inPieces);
    if (cut) this.#cuts.set(diffId, cut);
    this.#options.announce({ diffId, ...descriptor, ...(inPieces && cut && { cutting: inPieces.cutting }) });
  }

  #cutOnDemand(diffId: Digest, { digest }: Descriptor, { cutting, plain }: InPieces): CutOnDemand | undefined {
    const leavesBlob = cutting === "leaves-blob";
    return (
      this.#cutter &&
      new CutOnDemand({
        cutter: this.#cutter,
        diffId,
        plain,
        leavesBlob,
        onBegun: (whole) => {
          if (!leavesBlob || digest !== diffId) this.#blobs.set(diffId, whole);
        },
        onNoFiles: (error) => this.#notCut(error),
        // Who takes it while it passes hears of it.
        onFailure: leavesBlob ? (error) => this.#notCut(error) : () => {},
      })
    );
  }

  #notCut(error: unknown): void {
    try {
      this.continueWithoutSpool(error);
    } catch (failure) {
      this.#options.onFailure?.(failure);
    }
  }

  /** Nobody wants anything any more. Resolves when nothing is being cut. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    this.#manifest.reject(notSent());
    for (const passing of this.#passing) passing.giveUp(notSent());
    for (const cut of this.#cuts.values()) await cut[Symbol.asyncDispose]();
  }
}

type StoredLayer = Pick<Descriptor, "size" | "mediaType">;

interface InPieces {
  cutting: Cutting;
  /** Called once at most. */
  plain: () => Readable | Promise<Readable>;
}

/** Why a layer, as it is stored, is not cut where others are; undefined: it is. */
function whyWhole(cutter: LayerCutter, { size, mediaType }: StoredLayer): string | undefined {
  if (mediaType.endsWith("zstd") && !hasZstd) return "it is packed with zstd, and this Node cannot look into it";
  return cutter.isWorthCutting(size) ? undefined : "it is small";
}

function notSent(): Error {
  return new Error("it is not being sent any more");
}
