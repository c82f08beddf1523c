import { Readable } from "node:stream";
import type { AnnouncedLayer, Offer } from "../conversation/messages.ts";
import { decodeLayer } from "../image/archive/decode-layer.ts";
import { hasZstd } from "../image/archive/zstd-frames.ts";
import { digestOf, shortOf, type Digest } from "../image/digest.ts";
import { MEDIA_TYPE, writeManifest, type Descriptor, type WrittenManifest } from "../image/manifest.ts";
import { bytes } from "../output/describe.ts";
import { Failure } from "../output/errors.ts";
import { PacedPacker, type Packing } from "../packing/pace.ts";
import type { ByteRange, CutBlob, RegistryContent, StoredBlob, StoredManifest } from "../registry/embedded/content.ts";
import { deferred } from "../streams/deferred.ts";
import { part } from "../streams/part.ts";
import { spoolFailure, type LazySpool } from "../store/spool.ts";
import { HandOver } from "./hand-over.ts";
import { LayerCutter } from "./layer-cutter.ts";

export interface ShelfOptions {
  offer: Offer;
  /** Of the image, bottom first. */
  diffIds: readonly Digest[];
  /** The receiver may ask for this config at once, and gets it when all is there. */
  configDigest?: Digest | undefined;
  /** The image's own, which the receiver is to keep. */
  manifest?: WrittenManifest | undefined;
  packing: Packing;
  /** Where layers that are cut into pieces wait. Left out: none are. */
  cutInto?: LazySpool | undefined;
  /** Hears once when there is no room for files: layers go in ways that need none from then on. */
  onNoRoom?: (failure: Failure) => void;
  /** Layers that the receiver has the beginning of: it says from where it wants them. */
  begun?: ReadonlySet<Digest>;
  /** Hears of each layer once: from then on it can be fetched. */
  announce: (layer: AnnouncedLayer) => void;
  /** Hears before that of each that is being cut: from then on its recipe can be read. */
  announceCut?: (diffId: Digest) => void;
  /** For --verbose. */
  onDetail?: (text: string) => void;
}

/**
 * What the receiver wants of an image, put there layer by layer, and given from there as a registry. A layer can be fetched
 * from the moment that it is begun: who reads it is given what there is, and waits for more. Manifest and config come last.
 */
export class Shelf implements Disposable {
  readonly content: RegistryContent;
  readonly #options: ShelfOptions;
  readonly #packer: PacedPacker;
  #cutter: LayerCutter | undefined;
  #isWithoutRoom = false;
  readonly #layers = new Map<Digest, Descriptor>();
  readonly #blobs = new Map<Digest, StoredBlob>();
  readonly #cuts = new Map<Digest, CutBlob>();
  readonly #passing = new Set<HandOver>();
  #isClosed = false;
  readonly #manifest = deferred<StoredManifest>();

  constructor(options: ShelfOptions) {
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
        return this.#blobs.get(digest);
      },
      cut: async (repository, digest) => (repository === offer.repository ? this.#cuts.get(digest) : undefined),
      tags: async (repository) => (repository === offer.repository ? [offer.tag] : undefined),
    };
  }

  has(diffId: Digest): boolean {
    return this.#layers.has(diffId);
  }

  /** Is a layer, as it is stored, to be cut into pieces? */
  cuts(layer: StoredLayer): boolean {
    return this.#cutter !== undefined && whyWhole(this.#cutter, layer) === undefined;
  }

  /** The same, and there is a place for the pieces. */
  async #canCut(layer: StoredLayer): Promise<boolean> {
    if (!this.cuts(layer)) return false;
    try {
      await this.#cutter?.makeRoom();
      return true;
    } catch (error) {
      return this.goWithoutRoom(error);
    }
  }

  /**
   * The same as `cut`, for a layer that can be read anew: false where it is not to be cut, or where there is no room for it (any more), and
   * it is to go whole.
   */
  async cutIfRoom(
    diffId: Digest,
    layer: StoredLayer,
    plain: () => AsyncIterable<Buffer> | Promise<AsyncIterable<Buffer>>,
  ): Promise<boolean> {
    if (!(await this.#canCut(layer))) return false;
    try {
      await this.cut(diffId, await plain());
      return true;
    } catch (error) {
      this.#cuts.delete(diffId);
      return this.goWithoutRoom(error);
    }
  }

  /** Where there is no room for files (any more), nothing is cut from now on, which is said once. Throws what is another error. */
  goWithoutRoom(error: unknown): false {
    const failure = spoolFailure(error, "sent");
    if (!(failure instanceof Failure && failure.code === "no-space")) throw error;
    this.#cutter = undefined;
    if (!this.#isWithoutRoom) this.#options.onNoRoom?.(failure);
    this.#isWithoutRoom = true;
    return false;
  }

  /**
   * A plain layer, of which the receiver may have pieces; resolves when it has been read. Else the receiver gets it whole, plain.
   * `plain` is to fail when it is not what it should be, or the receiver finds out.
   */
  async cut(diffId: Digest, plain: AsyncIterable<Buffer>): Promise<void> {
    if (this.#cutter === undefined) throw new Error("nothing is to be cut");
    const blob = await this.#cutter.cut(diffId, plain, (begun) => {
      this.#cuts.set(diffId, begun);
      this.#options.announceCut?.(diffId);
    });
    if (this.#isClosed) throw notSent();
    this.#put(diffId, { mediaType: MEDIA_TYPE.ociLayer, digest: diffId, size: blob.size }, blob);
  }

  /** A layer as it is stored, which the receiver gets so. The blob is the caller's, and stays until this is disposed of. */
  keep(diffId: Digest, descriptor: Descriptor, blob: StoredBlob): void {
    this.#put(diffId, descriptor, blob);
  }

  /** The same, while it comes: resolves when the receiver has taken it. `bytes` is to fail when they are not the blob's. */
  async take(diffId: Digest, descriptor: Descriptor, bytes: AsyncIterable<Buffer>): Promise<void> {
    this.#refuseClosed();
    if (this.cuts(descriptor) && (await this.#canCut(descriptor))) {
      return await this.cut(diffId, decodeLayer(Readable.from(bytes, { objectMode: false }), descriptor.mediaType));
    }
    const passing = this.#pass(new HandOver(() => bytes));
    const open = (range?: ByteRange): Readable => {
      const { stream } = passing.read();
      return range === undefined ? stream : Readable.from(part(stream, range), { objectMode: false });
    };
    this.#put(diffId, descriptor, { size: descriptor.size, open });
    await this.#taken(passing);
  }

  /**
   * A plain layer of `size` bytes, packed while it comes: resolves when the receiver has taken it, who gets it plain again.
   * `plain` is to fail, at its end at the latest, when its bytes are not the layer's: they are not hashed here once more.
   */
  async pack(diffId: Digest, size: number, plain: AsyncIterable<Buffer>): Promise<void> {
    this.#refuseClosed();
    const descriptor = { mediaType: MEDIA_TYPE.ociLayer, digest: diffId, size };
    if (this.cuts(descriptor) && (await this.#canCut(descriptor))) return await this.cut(diffId, plain);
    const open = (): Promise<Readable> => Promise.reject(new Error("only packed"));
    const from = (first: number): AsyncIterable<Buffer> =>
      this.#packer.pack(first > 0 ? part(plain, { first }) : plain);
    const passing = this.#pass(new HandOver(from, { waits: this.#options.begun?.has(diffId) === true }));
    this.#put(diffId, descriptor, { size, open, packed: (first) => passing.read(first) });
    await this.#taken(passing);
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

  #compose(config: { digest: Digest; size: number }): WrittenManifest {
    return writeManifest({
      mediaType: MEDIA_TYPE.ociManifest,
      config: { mediaType: MEDIA_TYPE.ociConfig, ...config },
      layers: this.#options.diffIds.map(
        (diffId) => this.#layers.get(diffId) ?? { mediaType: MEDIA_TYPE.ociLayer, digest: diffId, size: 0 },
      ),
    });
  }

  #pass(passing: HandOver): HandOver {
    this.#passing.add(passing);
    return passing;
  }

  async #taken(passing: HandOver): Promise<void> {
    await passing.done();
    this.#passing.delete(passing);
  }

  #refuseClosed(): void {
    if (this.#isClosed) throw notSent();
  }

  #put(diffId: Digest, descriptor: Descriptor, blob: StoredBlob): void {
    this.#layers.set(diffId, descriptor);
    this.#blobs.set(descriptor.digest, blob);
    const isCut = this.#cuts.has(diffId);
    const why = isCut ? undefined : this.#cutter && whyWhole(this.#cutter, descriptor);
    if (why !== undefined) {
      this.#options.onDetail?.(`layer ${shortOf(diffId)} is sent whole: ${why} (${bytes(descriptor.size)})`);
    }
    this.#options.announce({ diffId, ...descriptor, ...(isCut && { isCut }) });
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#manifest.reject(notSent());
    for (const passing of this.#passing) passing.giveUp(notSent());
  }
}

type StoredLayer = Pick<Descriptor, "size" | "mediaType">;

/** Why a layer, as it is stored, is not cut where others are; undefined: it is. */
function whyWhole(cutter: LayerCutter, { size, mediaType }: StoredLayer): string | undefined {
  if (mediaType.endsWith("zstd") && !hasZstd) return "it is packed with zstd, and this Node cannot look into it";
  return cutter.isWorthIt(size) ? undefined : "it is small";
}

function notSent(): Error {
  return new Error("it is not being sent any more");
}
