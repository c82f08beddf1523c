import { constants, createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import type { AnnouncedLayer } from "../conversation/messages.ts";
import { InvalidRecipe, TruncatedRecipe } from "../delta/recipe-errors.ts";
import { decodeRecipe } from "../delta/decode-recipe.ts";
import { PieceKeyFilter } from "../delta/piece-key-filter.ts";
import { encodeMissingPieces } from "../delta/missing-pieces.ts";
import { TarRebuild } from "../delta/tar-rebuild.ts";
import { reusePieces } from "../delta/reuse-pieces.ts";
import { SizeLimitExceeded, type SizeLimit } from "../image/layer/size-limit.ts";
import { hasZstd } from "../image/layer/zstd-frames.ts";
import { shortOf, type Digest } from "../image/digest.ts";
import { MEDIA_TYPE } from "../image/manifest.ts";
import { bytes } from "../output/describe.ts";
import { messageOf } from "../output/errors.ts";
import { NoRecipe, type RegistryClient } from "../registry/registry-client.ts";
import type { ResumeCache } from "../store/resume-cache.ts";
import type { LazySpool } from "../store/spool.ts";
import type { LayerFile } from "../store/store.ts";
import { countBytes } from "../streams/count-bytes.ts";
import { bytesFree, openRebuiltFile, type RebuiltFile } from "./rebuilt-file.ts";
import { isWrong, fallbackReason } from "./fallback-reason.ts";
import { verifyRebuiltTar } from "./verify-rebuilt-tar.ts";
import type { DeltaChoice } from "./delta-choice.ts";
import { countRebuiltBytes } from "./count-rebuilt-bytes.ts";
import { DeltaBaseReader, WORTH_READING } from "./delta-base-reader.ts";
import type { DeltaBases } from "./delta-bases.ts";

export interface LayerRebuilderOptions {
  client: {
    [Part in "recipe" | "pieces"]: (...of: Parameters<RegistryClient[Part]>) => Promise<AsyncIterable<Buffer>>;
  } & Pick<RegistryClient, "sizeOf">;
  /** Which layers are made so. */
  choice: Pick<DeltaChoice, "isInPieces" | "watch" | "leave">;
  repository: string;
  deltaBases: DeltaBases;
  spool: Pick<LazySpool, "open">;
  /** Where a layer that is half made stays for the next run; left out: nowhere. */
  resumeCache: ResumeCache | undefined;
  limit: SizeLimit;
  signal: AbortSignal;
  /** Bytes that have come, each time some have. */
  onBytes: (count: number) => void;
  /** For --verbose. */
  onDetail: (text: string) => void;
}

/** What fetching a layer and rebuilding one have in common. */
type FetchingPart = "client" | "repository" | "resumeCache" | "limit" | "signal" | "onBytes";

/** How layers are fetched: those that can be had in pieces may be made of the seeds; where there are none, none are. */
export function rebuilding<Fetching extends Pick<LayerRebuilderOptions, FetchingPart>>(
  fetching: Fetching,
  inPieces: AsyncIterable<AnnouncedLayer>,
  {
    deltaBases,
    ...options
  }: { deltaBases: DeltaBases | undefined } & Omit<LayerRebuilderOptions, FetchingPart | "deltaBases">,
): { fetching: Fetching & { rebuild?: LayerRebuilder["rebuild"] }; bytesFound: () => number } & AsyncDisposable {
  if (deltaBases === undefined) return { fetching, bytesFound: () => 0, [Symbol.asyncDispose]: async () => {} };
  const rebuilder = new LayerRebuilder({ ...fetching, ...options, deltaBases });
  void rebuilder.makeAll(inPieces);
  return {
    fetching: { ...fetching, rebuild: async (layer) => await rebuilder.rebuild(layer) },
    bytesFound: () => rebuilder.bytesFound,
    [Symbol.asyncDispose]: async () => await rebuilder[Symbol.asyncDispose](),
  };
}

/** Layers of which is known what they have; half a megabyte each, and the sender says how many there are. */
const MAX_KEPT_KEYS = 32;

/** A layer's plain tar, which has been proven. */
interface Made {
  path: string;
  /** Bytes. */
  size: number;
  /** Bytes of it that were here. */
  found: number;
}

/**
 * Makes layers of the files of images that are here, and of those pieces that are not (delta/). A layer is made while the sender
 * cuts it, which it does when it is asked for the recipe; one at a time, in the order in which they are announced. Dispose of it before
 * the seeds and the spool.
 */
export class LayerRebuilder implements AsyncDisposable {
  readonly #options: LayerRebuilderOptions;
  readonly #rebuilding = new Map<Digest, Promise<Made | undefined>>();
  #last: Promise<unknown> = Promise.resolve();
  /** The files that layers are made in, in their order. */
  readonly #files = new Map<Digest, RebuiltFile>();
  /** Of another layer. A sender that has been wrong once, or had no room, is not given the disk for another recipe. */
  #wrong: "wrong" | "cut off" | undefined;
  /** The keys of all layers whose recipes have been read. */
  readonly #keys: PieceKeyFilter[] = [];
  readonly #leaving = new AbortController();
  readonly #signal: AbortSignal;
  readonly #reader: DeltaBaseReader;
  #bytesFound = 0;

  constructor(options: LayerRebuilderOptions) {
    this.#options = options;
    this.#signal = AbortSignal.any([options.signal, this.#leaving.signal]);
    this.#signal.addEventListener("abort", () => options.choice.leave(this.#signal.reason as Error), { once: true });
    this.#reader = new DeltaBaseReader({ ...options, signal: this.#signal });
  }

  /** Of the layers that came out right, what was here; plain bytes. */
  get bytesFound(): number {
    return this.#bytesFound;
  }

  /** Begins with those that can be had in pieces. */
  async makeAll(layers: AsyncIterable<AnnouncedLayer>): Promise<void> {
    for await (const layer of layers) if (!this.#signal.aborted) void this.#begin(layer);
  }

  /**
   * Makes a layer in a file, if that is the better way. Resolves to the file when it has been proven; to what is to be fetched where the layer
   * is to come whole, also because it did not come out right. The file stays in the spool: the next layer may be of the same files,
   * with another owner.
   */
  async rebuild(layer: AnnouncedLayer): Promise<LayerFile | AnnouncedLayer> {
    const { diffId } = layer;
    try {
      const made = await (this.#rebuilding.get(diffId) ?? this.#begin(layer));
      if (made === undefined) return layer;
      const { path, size, found } = made;
      this.#bytesFound += found;
      return { kind: "file", diffId, path, size, blob: { mediaType: MEDIA_TYPE.ociLayer, digest: diffId, size } };
    } catch (error) {
      const why = fallbackReason(error);
      if (why === undefined) throw error;
      await this.#discard(diffId);
      this.#options.onDetail(`layer ${shortOf(diffId)} comes whole: ${why} (${messageOf(error)})`);
      return error instanceof NoRecipe ? layer : await this.#wholeOf(layer);
    }
  }

  /** What there is to be fetched of a layer that has been cut, at least in part. */
  async #wholeOf(layer: AnnouncedLayer): Promise<AnnouncedLayer> {
    const { client, repository } = this.#options;
    if (isToBeHadAsStored(layer)) return layer;
    const { diffId } = layer;
    const size = await client.sizeOf(repository, diffId, this.#signal);
    return { diffId, mediaType: MEDIA_TYPE.ociLayer, digest: diffId, size };
  }

  /** Undefined: it is to come whole. */
  #begin(layer: AnnouncedLayer): Promise<Made | undefined> {
    const rebuilding = this.#last.then(async () => {
      this.#signal.throwIfAborted();
      const isInPieces = !canUnpack(layer.mediaType) || (await this.#options.choice.isInPieces(layer));
      return isInPieces ? await this.#make(layer) : undefined;
    });
    this.#rebuilding.set(layer.diffId, rebuilding);
    this.#last = rebuilding.catch(() => {}); // told to who wants the layer
    return rebuilding;
  }

  async #discard(diffId: Digest): Promise<void> {
    const file = this.#files.get(diffId);
    this.#files.delete(diffId);
    await file?.discard();
    file?.share.release();
  }

  async #make(layer: AnnouncedLayer): Promise<Made> {
    const { diffId } = layer;
    if (this.#wrong === "wrong") throw new InvalidRecipe("another one's was");
    if (this.#wrong === "cut off") throw new TruncatedRecipe("nor those of another layer");
    const others = [...this.#files.values()].map(({ path }) => path);
    const file = await openRebuiltFile(diffId, this.#options);
    this.#files.set(diffId, file);
    const pieces = { come: 0 };
    try {
      return await this.#makeIn(file, layer, others, pieces);
    } catch (error) {
      if (isWrong(error)) this.#wrong ??= error instanceof TruncatedRecipe ? "cut off" : "wrong";
      // What the recipe says, and what was found here, costs nothing to have again, and would take the place of what did.
      const isOfUse = !isWrong(error) && !(error instanceof SizeLimitExceeded) && file.before + pieces.come > 0;
      if (!isOfUse) await this.#discard(diffId);
      throw error;
    }
  }

  async #makeIn(
    { path, before, share }: RebuiltFile,
    layer: AnnouncedLayer,
    others: readonly string[],
    pieces: { come: number },
  ): Promise<Made> {
    const { choice, client, repository, onBytes, onDetail } = this.#options;
    const { diffId } = layer;
    const onMade = await choice.watch(layer);
    const signal = this.#signal;
    await using file = await open(path, constants.O_RDWR | constants.O_NOFOLLOW);
    const keys = new PieceKeyFilter();
    // How large it is, the sender does not know yet.
    const maxSize = await bytesFree(path);
    const recipe = decodeRecipe(countBytes(await client.recipe(repository, diffId, signal), onBytes), { maxSize });
    const rebuild = TarRebuild.start(file, keys.noting(countRebuiltBytes(recipe, share)));
    const proving = verifyRebuiltTar(file, rebuild, { diffId, signal });
    proving.catch(() => {}); // awaited below
    try {
      // The plain tar is not to be had before the sender has cut all of it: until then there is nothing to change to.
      const along = await this.#reader.takeAlong(rebuild, diffId, (made) =>
        onMade(made, isToBeHadAsStored(layer) || rebuild.isRead),
      );
      await rebuild.read;
      const wanted = rebuild.wanted;
      // What an earlier run has put in is found where it belongs, by what it is, like everything else.
      if (before > 0) await reusePieces(createReadStream(path), rebuild);
      await this.#reader.takeRest(rebuild, along, diffId);
      await this.#takeWhatWasMade(others, rebuild);
      this.#keys.push(keys);
      if (this.#keys.length > MAX_KEPT_KEYS) this.#keys.shift();
      const { pieces: missing, bytes: missingBytes } = rebuild.left;
      onDetail(
        `of layer ${shortOf(diffId)}, ${bytes(wanted - missingBytes)} of ${bytes(wanted)} are in files that are here`,
      );
      if (missing > 0) {
        const list = encodeMissingPieces(rebuild.missing());
        const onPieces = (count: number): void => {
          pieces.come += count;
          onBytes(count);
        };
        await rebuild.fill(countBytes(await client.pieces(repository, diffId, list, signal), onPieces));
      }
      await file.truncate(rebuild.size); // what was half made may have been longer
      return { path, size: await proving, found: wanted - missingBytes };
    } finally {
      // The file is closed then.
      await rebuild.leave();
      await proving.catch(() => {});
    }
  }

  /** `RUN chown -R` and the like make a layer of files that the one below has. */
  async #takeWhatWasMade(files: readonly string[], rebuild: TarRebuild): Promise<void> {
    if (rebuild.missingBytes((key) => this.#keys.some((keys) => keys.mayHave(key))) < WORTH_READING) return;
    for (const path of files.toReversed()) {
      // One that came out wrong goes meanwhile.
      await this.#reader.take(createReadStream(path, { highWaterMark: 1024 * 1024 }), rebuild);
      if (rebuild.left.pieces === 0) return;
    }
  }

  /** What is under way ends first. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#leaving.abort(new Error("the layers are not needed any more"));
    await this.#last;
  }
}

/** Can the layer be had whole, as it was announced, also when its recipe has been asked for? */
function isToBeHadAsStored({ cutting, mediaType }: AnnouncedLayer): boolean {
  return cutting !== "consumes-blob" && canUnpack(mediaType);
}

/** Can the layer be taken whole, as it is stored? */
function canUnpack(mediaType: string): boolean {
  return hasZstd || !mediaType.endsWith("zstd");
}
