import type { PieceKeyFilter } from "../delta/piece-key-filter.ts";
import { reusePieces, reusePiecesAlongRecipe } from "../delta/reuse-pieces.ts";
import type { TarRebuild } from "../delta/tar-rebuild.ts";
import type { Digest } from "../image/digest.ts";
import type { Detail } from "../output/details.ts";
import { messageOf } from "../output/errors.ts";
import { WHOLE_LAYER, type DeltaBaseImage, type DeltaBases } from "./delta-bases.ts";

/** It is worthwhile to read a tar, at about 100 MB/s, if it may contain this many missing bytes. */
export const WORTH_READING = 1_000_000;
/** Another image, or the folders of an image whose base layer was read, is read only if at least this share of the layer is missing. */
const WORTH_MORE = 1 / 16;

export interface DeltaBaseReaderOptions {
  deltaBases: DeltaBases;
  signal: AbortSignal;
  /** For --verbose. */
  onDetail: (detail: Detail) => void;
}

/** The tar that was read along the recipe. */
export interface ReadAlong {
  /** The folder of the most similar image; undefined for its base layer. */
  folder: string | undefined;
  /** The keys of the pieces that were read before the recipe named them. */
  unused: PieceKeyFilter;
}

/** Reads delta bases, and offers their pieces to a rebuild. Skips an image that cannot be read; more bytes are then sent. */
export class DeltaBaseReader {
  readonly #images: readonly DeltaBaseImage[];
  readonly #options: DeltaBaseReaderOptions;

  constructor(options: DeltaBaseReaderOptions) {
    this.#images = options.deltaBases.images;
    this.#options = options;
  }

  /**
   * Reads a tar of the most similar image while the recipe is still arriving: its base layer, or else the folder that contains the layer's
   * first files. Returns undefined if neither exists.
   *
   * @param onRead receives the bytes read so far; it may throw to stop
   */
  async readAlongRecipe(
    rebuild: TarRebuild,
    diffId: Digest,
    onRead?: (bytes: number) => void,
  ): Promise<ReadAlong | undefined> {
    const [nearest] = this.#images;
    if (nearest === undefined) return undefined;
    return await this.#skipIfUnreadable(async () => {
      const layer = await this.#baseLayer(nearest, diffId);
      if (layer !== undefined)
        return { folder: undefined, unused: await reusePiecesAlongRecipe(layer, rebuild, onRead) };
      const first = await rebuild.firstFolder();
      if (first === undefined) return undefined;
      for await (const { covers, tar } of this.#readable(nearest.tars([first]))) {
        return { folder: covers, unused: await reusePiecesAlongRecipe(this.#readable(tar), rebuild, onRead) };
      }
      return undefined;
    });
  }

  /** Reads further tars that may contain missing pieces, as long as enough is missing to make that worthwhile. */
  async readRest(rebuild: TarRebuild, readAlong: ReadAlong | undefined, diffId: Digest): Promise<void> {
    const [nearest, ...others] = this.#images;
    if (nearest !== undefined) {
      if (readAlong !== undefined && readAlong.folder === undefined)
        await this.#readBaseLayerAgain(nearest, rebuild, readAlong, diffId);
      await this.#readFolders(nearest, unreadFolders(rebuild, readAlong), rebuild);
    }
    for (const image of others) {
      if (!isMuchMissing(rebuild)) return;
      await this.#readFolders(image, rebuild.folders, rebuild);
    }
  }

  /** Reads a tar that may contain missing pieces. */
  async read(tar: AsyncIterable<Buffer>, rebuild: TarRebuild): Promise<void> {
    await this.#skipIfUnreadable(async () => await reusePieces(this.#readable(tar), rebuild));
  }

  async #readBaseLayerAgain(
    image: DeltaBaseImage,
    rebuild: TarRebuild,
    { unused }: ReadAlong,
    diffId: Digest,
  ): Promise<void> {
    if (rebuild.missingBytesWhere((key) => unused.mayHave(key)) < WORTH_READING) return;
    await this.#skipIfUnreadable(async () => {
      const layer = await this.#baseLayer(image, diffId);
      if (layer !== undefined) await reusePieces(layer, rebuild);
    });
  }

  async #readFolders(image: DeltaBaseImage, folders: readonly string[], rebuild: TarRebuild): Promise<void> {
    if (rebuild.missing.pieces === 0 || folders.length === 0) return;
    await this.#skipIfUnreadable(async () => {
      for await (const { covers, tar } of this.#readable(image.tars(folders))) {
        await reusePieces(this.#readable(tar), rebuild);
        if (rebuild.missing.pieces === 0 || (covers === WHOLE_LAYER && !isMuchMissing(rebuild))) return;
      }
    });
  }

  async #baseLayer(image: DeltaBaseImage, diffId: Digest): Promise<AsyncGenerator<Buffer> | undefined> {
    try {
      const layer = await image.baseLayer(diffId);
      return layer && this.#readable(layer);
    } catch (error) {
      throw new Unreadable(messageOf(error), { cause: error });
    }
  }

  /** Calls `read`. Returns undefined if an image cannot be read, and throws other errors. */
  async #skipIfUnreadable<T>(read: () => Promise<T>): Promise<T | undefined> {
    try {
      return await read();
    } catch (error) {
      const { signal, onDetail } = this.#options;
      signal.throwIfAborted();
      if (!(error instanceof Unreadable)) throw error;
      onDetail({ code: "delta-base-unreadable", error: error.message });
      return undefined;
    }
  }

  /** Turns the errors of a source into `Unreadable`, to distinguish them from those of its consumer. */
  async *#readable<T>(source: AsyncIterable<T>): AsyncGenerator<T> {
    try {
      for await (const item of source) {
        this.#options.signal.throwIfAborted();
        yield item;
      }
    } catch (error) {
      throw new Unreadable(messageOf(error), { cause: error });
    }
  }
}

class Unreadable extends Error {
  override readonly name = "Unreadable";
}

function isMuchMissing({ missing, distinctBytes }: TarRebuild): boolean {
  return missing.bytes >= Math.max(WORTH_READING, distinctBytes * WORTH_MORE);
}

/** Returns the folders of the most similar image that may contain more of the missing pieces. */
function unreadFolders(rebuild: TarRebuild, readAlong: ReadAlong | undefined): readonly string[] {
  if (readAlong === undefined) return rebuild.folders;
  const { folder, unused } = readAlong;
  if (folder === undefined || folder === WHOLE_LAYER) return isMuchMissing(rebuild) ? rebuild.folders : [];
  if (rebuild.missingBytesWhere((key) => unused.mayHave(key)) >= WORTH_READING) return rebuild.folders;
  return rebuild.bytesOutsideFirstFolder < WORTH_READING ? [] : rebuild.folders.filter((one) => one !== folder);
}
