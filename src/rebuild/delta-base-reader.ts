import type { PieceKeyFilter } from "../delta/piece-key-filter.ts";
import type { TarRebuild } from "../delta/tar-rebuild.ts";
import { reusePieces, reusePiecesAlongRecipe } from "../delta/reuse-pieces.ts";
import type { Digest } from "../image/digest.ts";
import { messageOf } from "../output/errors.ts";
import { WHOLE_LAYER, type DeltaBaseImage, type DeltaBases } from "./delta-bases.ts";

/** Bytes that make it worth while to read what may have them, at some 100 MB/s. */
export const WORTH_READING = 1_000_000;
/** What must be missing, of all that is wanted, before one more image is read, or the folders of the one whose like layer has been. */
const WORTH_MORE = 1 / 16;

export interface DeltaBaseReaderOptions {
  deltaBases: DeltaBases;
  signal: AbortSignal;
  /** For --verbose. */
  onDetail: (text: string) => void;
}

/** What was read while the recipe came. */
export interface Along {
  /** A folder of the nearest image; undefined for the layer of it that is like the one that is made. */
  folder: string | undefined;
  /** The keys of what went by before it was wanted. */
  passed: PieceKeyFilter;
}

/** Gives a layer that is put together what images that are here have of it. Images that cannot be read only make it cost more. */
export class DeltaBaseReader {
  readonly #images: readonly DeltaBaseImage[];
  readonly #options: DeltaBaseReaderOptions;

  constructor(options: DeltaBaseReaderOptions) {
    this.#images = options.deltaBases.images;
    this.#options = options;
  }

  /**
   * Reads, behind the recipe as it comes, the nearest image's like layer, or the folder of it in which the layer's first files lie. `onRead` is told
   * how many bytes of that have been read, and may throw to leave.
   */
  async takeAlong(rebuild: TarRebuild, diffId: Digest, onRead?: (bytes: number) => void): Promise<Along | undefined> {
    const [nearest] = this.#images;
    if (nearest === undefined) return undefined;
    return await this.#unlessUnreadable(async () => {
      const layer = await this.#layerLike(nearest, diffId);
      if (layer !== undefined)
        return { folder: undefined, passed: await reusePiecesAlongRecipe(layer, rebuild, onRead) };
      const first = await rebuild.firstFolder();
      if (first === undefined) return undefined;
      for await (const { covers, tar } of this.#readable(nearest.tars([first]))) {
        return { folder: covers, passed: await reusePiecesAlongRecipe(this.#readable(tar), rebuild, onRead) };
      }
      return undefined;
    });
  }

  /** Reads what else may have pieces that are missing, where there are enough of them to make it worth while. */
  async takeRest(rebuild: TarRebuild, along: Along | undefined, diffId: Digest): Promise<void> {
    const [nearest, ...others] = this.#images;
    if (nearest !== undefined) {
      if (along !== undefined && along.folder === undefined)
        await this.#takeLayerAgain(nearest, rebuild, along, diffId);
      await this.#takeFolders(nearest, foldersLeft(rebuild, along), rebuild);
    }
    for (const image of others) {
      if (!missesMuch(rebuild)) return;
      await this.#takeFolders(image, rebuild.folders, rebuild);
    }
  }

  /** Reads a tar that may have some. */
  async take(tar: AsyncIterable<Buffer>, rebuild: TarRebuild): Promise<void> {
    await this.#unlessUnreadable(async () => await reusePieces(this.#readable(tar), rebuild));
  }

  async #takeLayerAgain(image: DeltaBaseImage, rebuild: TarRebuild, { passed }: Along, diffId: Digest): Promise<void> {
    if (rebuild.missingBytes((key) => passed.mayHave(key)) < WORTH_READING) return;
    await this.#unlessUnreadable(async () => {
      const layer = await this.#layerLike(image, diffId);
      if (layer !== undefined) await reusePieces(layer, rebuild);
    });
  }

  async #takeFolders(image: DeltaBaseImage, folders: readonly string[], rebuild: TarRebuild): Promise<void> {
    if (rebuild.left.pieces === 0 || folders.length === 0) return;
    await this.#unlessUnreadable(async () => {
      for await (const { covers, tar } of this.#readable(image.tars(folders))) {
        await reusePieces(this.#readable(tar), rebuild);
        if (rebuild.left.pieces === 0 || (covers === WHOLE_LAYER && !missesMuch(rebuild))) return;
      }
    });
  }

  async #layerLike(image: DeltaBaseImage, diffId: Digest): Promise<AsyncGenerator<Buffer> | undefined> {
    try {
      const layer = await image.layerLike(diffId);
      return layer && this.#readable(layer);
    } catch (error) {
      throw new Unreadable(messageOf(error), { cause: error });
    }
  }

  /** Does it as far as what it reads by `#readable` can be read. */
  async #unlessUnreadable<T>(read: () => Promise<T>): Promise<T | undefined> {
    try {
      return await read();
    } catch (error) {
      const { signal, onDetail } = this.#options;
      signal.throwIfAborted();
      if (!(error instanceof Unreadable)) throw error;
      onDetail(`the files of images that are here cannot be read: ${error.message}`);
      return undefined;
    }
  }

  /** Tells what a source fails with from what its reader does. */
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

function missesMuch({ left, wanted }: TarRebuild): boolean {
  return left.bytes >= Math.max(WORTH_READING, wanted * WORTH_MORE);
}

/** What has to be read of the nearest image's folders, because they may have more. */
function foldersLeft(rebuild: TarRebuild, along: Along | undefined): readonly string[] {
  if (along === undefined) return rebuild.folders;
  const { folder, passed } = along;
  if (folder === undefined || folder === WHOLE_LAYER) return missesMuch(rebuild) ? rebuild.folders : [];
  if (rebuild.missingBytes((key) => passed.mayHave(key)) >= WORTH_READING) return rebuild.folders;
  return rebuild.outside < WORTH_READING ? [] : rebuild.folders.filter((root) => root !== folder);
}
