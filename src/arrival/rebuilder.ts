import { createReadStream } from "node:fs";
import { open, rm, statfs, writeFile } from "node:fs/promises";
import { Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { AnnouncedLayer } from "../conversation/messages.ts";
import { BadRecipe } from "../delta/bad-recipe.ts";
import { decodeRecipe } from "../delta/decode-recipe.ts";
import { KeyFilter } from "../delta/key-filter.ts";
import { encodeMissing } from "../delta/missing.ts";
import { Rebuild } from "../delta/rebuild.ts";
import { takePieces, takePiecesAlong } from "../delta/take-pieces.ts";
import { checkLayer } from "../image/archive/check-layer.ts";
import type { SizeLimit } from "../image/archive/prove.ts";
import { hexOf, type Digest } from "../image/digest.ts";
import { InvalidImage } from "../image/manifest.ts";
import { bytes } from "../output/describe.ts";
import { messageOf } from "../output/errors.ts";
import type { RegistryClient } from "../registry/client.ts";
import type { KeptLayers } from "../store/kept-layers.ts";
import type { LazySpool } from "../store/spool.ts";
import { counted, type FetchOptions } from "./coming-layer.ts";
import type { SeedImage, Seeds } from "./seeds.ts";

export interface RebuilderOptions {
  client: {
    [Part in "recipe" | "pieces"]: (...of: Parameters<RegistryClient[Part]>) => Promise<AsyncIterable<Buffer>>;
  };
  repository: string;
  seeds: Seeds;
  spool: Pick<LazySpool, "open">;
  /** Where a layer that is half made stays for the next run; left out: nowhere. */
  kept: KeptLayers | undefined;
  limit: SizeLimit;
  signal: AbortSignal;
  /** Bytes that have come, each time some have. */
  onBytes: (count: number) => void;
  /** For --verbose. */
  onDetail: (text: string) => void;
}

/** How layers are fetched: those that are cut are made of the seeds; where there are none, none are. */
export function rebuilding(
  fetching: FetchOptions,
  cutting: AsyncIterable<Digest>,
  { seeds, ...options }: { seeds: Seeds | undefined } & Pick<RebuilderOptions, "spool" | "onDetail">,
): { fetching: FetchOptions; bytesFound: () => number } & AsyncDisposable {
  if (seeds === undefined) return { fetching, bytesFound: () => 0, [Symbol.asyncDispose]: async () => {} };
  const rebuilder = new Rebuilder({ ...fetching, ...options, seeds });
  void rebuilder.makeAll(cutting);
  return {
    fetching: { ...fetching, rebuild: async (layer) => await rebuilder.rebuild(layer) },
    bytesFound: () => rebuilder.bytesFound,
    [Symbol.asyncDispose]: async () => await rebuilder[Symbol.asyncDispose](),
  };
}

interface Made {
  path: string;
  /** Bytes of it that were here. */
  found: number;
}

/**
 * Makes layers of the files of images that are here, and of those pieces that are not (delta/). A layer is begun while the sender is
 * still cutting it, one at a time, in the order in which that begins. Dispose of it before the seeds and the spool.
 */
export class Rebuilder implements AsyncDisposable {
  readonly #options: RebuilderOptions;
  readonly #making = new Map<Digest, Promise<Made>>();
  #last: Promise<unknown> = Promise.resolve();
  /** The files that layers are made in, in their order. */
  readonly #files = new Map<Digest, string>();
  /** The keys of all layers whose recipes have been read. */
  readonly #keys: KeyFilter[] = [];
  readonly #leaving = new AbortController();
  readonly #signal: AbortSignal;
  #bytesFound = 0;

  constructor(options: RebuilderOptions) {
    this.#options = options;
    this.#signal = AbortSignal.any([options.signal, this.#leaving.signal]);
  }

  /** Of the layers that came out right, what was here; plain bytes. */
  get bytesFound(): number {
    return this.#bytesFound;
  }

  /** Begins with those that the sender is cutting. */
  async makeAll(cutting: AsyncIterable<Digest>): Promise<void> {
    for await (const diffId of cutting) if (!this.#signal.aborted) void this.#begin(diffId);
  }

  /**
   * Makes a layer in a file. Resolves to its path when it has been proven; to undefined when it must come whole, because it did
   * not come out right. The file stays in the spool: the next layer may be of the same files, with another owner.
   */
  async rebuild(layer: AnnouncedLayer): Promise<string | undefined> {
    const { limit, onDetail } = this.#options;
    const { diffId, digest, size, mediaType } = layer;
    const making = this.#making.get(diffId) ?? this.#begin(diffId);
    try {
      const { path, found } = await making;
      const checked = checkLayer({ blob: { mediaType, digest, size }, diffId, limit });
      await pipeline(createReadStream(path, { highWaterMark: 1024 * 1024 }), checked, nowhere(), {
        signal: this.#signal,
      });
      this.#bytesFound += found;
      return path;
    } catch (error) {
      if (!(error instanceof BadRecipe || error instanceof InvalidImage)) throw error;
      const path = this.#files.get(diffId);
      if (path !== undefined) await rm(path, { force: true });
      this.#files.delete(diffId);
      onDetail(`layer ${nameOf(diffId)} comes whole: what was made of its pieces is wrong (${messageOf(error)})`);
      return undefined;
    }
  }

  #begin(diffId: Digest): Promise<Made> {
    const making = this.#last.then(async () => {
      this.#signal.throwIfAborted();
      return await this.#make(diffId);
    });
    this.#making.set(diffId, making);
    this.#last = making.catch(() => {}); // told to who wants the layer
    return making;
  }

  /** A file for it, which may be half made. */
  async #fileFor(diffId: Digest): Promise<string> {
    const { spool, kept } = this.#options;
    const half = await kept?.takeHalfMade(diffId);
    if (half !== undefined) return half.path;
    const path = (await spool.open()).pathFor(`${hexOf(diffId)}.made`);
    await writeFile(path, "", { mode: 0o600 });
    return path;
  }

  async #make(diffId: Digest): Promise<Made> {
    const { client, repository, onBytes, onDetail, limit } = this.#options;
    const signal = this.#signal;
    const path = await this.#fileFor(diffId);
    const others = [...this.#files.values()];
    this.#files.set(diffId, path);
    await using file = await open(path, "r+");
    const { size: halfMade } = await file.stat();
    const keys = new KeyFilter();
    // How large it is, the sender does not know yet.
    const maxSize = Math.min(limit.left, await bytesFree(path));
    const recipe = decodeRecipe(counted(await client.recipe(repository, diffId, signal), onBytes), { maxSize });
    const rebuild = Rebuild.start(file, keys.noting(recipe));
    try {
      const along = await this.#takeAlong(rebuild);
      await rebuild.read;
      const wanted = rebuild.wanted;
      // What an earlier run has put in is found where it belongs, by what it is, like everything else.
      if (halfMade > 0) await takePieces(createReadStream(path), rebuild);
      await this.#takeWhatIsHere(rebuild, along);
      await this.#takeWhatWasMade(others, rebuild);
      this.#keys.push(keys);
      const { pieces, bytes: missing } = rebuild.left;
      onDetail(`of layer ${nameOf(diffId)}, ${bytes(wanted - missing)} of ${bytes(wanted)} are in files that are here`);
      if (pieces > 0) {
        const list = encodeMissing(rebuild.missing());
        await rebuild.fill(counted(await client.pieces(repository, diffId, list, signal), onBytes));
      }
      return { path, found: wanted - missing };
    } finally {
      await rebuild.read.catch(() => {}); // the file is closed then
    }
  }

  /** Reads the nearest image's folder in which the layer's first files lie, behind the recipe as it comes. */
  async #takeAlong(rebuild: Rebuild): Promise<Along | undefined> {
    const [nearest] = this.#options.seeds.images;
    const folder = await rebuild.firstFolder();
    if (nearest === undefined || folder === undefined) return undefined;
    return await this.#unlessUnreadable(async () => {
      for await (const { covers, tar } of readable(nearest.tars([folder]), this.#signal)) {
        return { covers, passed: await takePiecesAlong(readable(tar, this.#signal), rebuild) };
      }
      return undefined;
    });
  }

  /** Reads what else may have pieces that are missing, where there are enough of them to make it worth while. */
  async #takeWhatIsHere(rebuild: Rebuild, along: Along | undefined): Promise<void> {
    const [nearest, ...others] = this.#options.seeds.images;
    if (nearest !== undefined) await this.#take(nearest, foldersLeft(rebuild, along), rebuild);
    for (const image of others) {
      if (rebuild.left.bytes < Math.max(WORTH_READING, rebuild.wanted * WORTH_ANOTHER)) return;
      await this.#take(image, rebuild.roots, rebuild);
    }
  }

  async #take(image: SeedImage, folders: readonly string[], rebuild: Rebuild): Promise<void> {
    if (rebuild.left.pieces === 0 || folders.length === 0) return;
    await this.#unlessUnreadable(async () => {
      for await (const { tar } of readable(image.tars(folders), this.#signal)) {
        await takePieces(readable(tar, this.#signal), rebuild);
        if (rebuild.left.pieces === 0) return;
      }
    });
  }

  /** Images that cannot be read only make the layer cost more. */
  async #unlessUnreadable<T>(read: () => Promise<T>): Promise<T | undefined> {
    try {
      return await read();
    } catch (error) {
      this.#signal.throwIfAborted();
      if (!(error instanceof Unreadable)) throw error;
      this.#options.onDetail(`the files of images that are here cannot be read: ${error.message}`);
      return undefined;
    }
  }

  /** `RUN chown -R` and the like make a layer of files that the one below has. */
  async #takeWhatWasMade(files: readonly string[], rebuild: Rebuild): Promise<void> {
    if (rebuild.missingBytes((key) => this.#keys.some((keys) => keys.mayHave(key))) < WORTH_READING) return;
    for (const path of files.toReversed()) {
      // One that came out wrong goes meanwhile.
      const tar = readable(createReadStream(path, { highWaterMark: 1024 * 1024 }), this.#signal);
      await this.#unlessUnreadable(async () => await takePieces(tar, rebuild));
      if (rebuild.left.pieces === 0) return;
    }
  }

  /** What is under way ends first. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#leaving.abort(new Error("the layers are not needed any more"));
    await this.#last;
  }
}

/** What was read while the recipe came. */
interface Along {
  covers: string;
  /** The keys of what went by before it was wanted. */
  passed: KeyFilter;
}

/** What has to be read of an image that was read along, because it may have more. */
function foldersLeft(rebuild: Rebuild, along: Along | undefined): readonly string[] {
  if (along === undefined) return rebuild.roots;
  if (rebuild.missingBytes((key) => along.passed.mayHave(key)) >= WORTH_READING) return rebuild.roots;
  return along.covers === "/" || rebuild.outside < WORTH_READING
    ? []
    : rebuild.roots.filter((root) => root !== along.covers);
}

/** What must be missing before one more image is read; of all that is wanted. */
const WORTH_ANOTHER = 1 / 16;

/** Bytes that make it worth while to read what may have them, at some 100 MB/s. */
const WORTH_READING = 1_000_000;

class Unreadable extends Error {
  override readonly name = "Unreadable";
}

/** Tells what a source fails with from what its reader does. */
async function* readable<T>(source: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T> {
  try {
    for await (const item of source) {
      signal.throwIfAborted();
      yield item;
    }
  } catch (error) {
    throw new Unreadable(messageOf(error), { cause: error });
  }
}

function nameOf(diffId: Digest): string {
  return hexOf(diffId).slice(0, 12);
}

async function bytesFree(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize;
}

function nowhere(): Writable {
  return new Writable({ write: (_chunk, _encoding, done) => done() });
}
