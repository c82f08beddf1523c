import { createReadStream } from "node:fs";
import { open, rm, writeFile } from "node:fs/promises";
import { Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { AnnouncedLayer } from "../conversation.ts";
import { BadRecipe } from "../delta/bad-recipe.ts";
import { decodeRecipe } from "../delta/decode-recipe.ts";
import { KeyFilter } from "../delta/key-filter.ts";
import { encodeMissing } from "../delta/missing.ts";
import { Rebuild, takePieces } from "../delta/rebuild.ts";
import { checkLayer } from "../image/archive/check-layer.ts";
import type { SizeLimit } from "../image/archive/prove.ts";
import { digestOf, hexOf } from "../image/digest.ts";
import { InvalidImage } from "../image/manifest.ts";
import { bytes } from "../output/describe.ts";
import { messageOf } from "../output/errors.ts";
import type { RegistryClient } from "../registry/client.ts";
import type { KeptLayers } from "../store/kept-layers.ts";
import { refuseWithoutSpace, type LazySpool } from "../store/spool.ts";
import { counted, type FetchOptions } from "./coming-layer.ts";
import type { Seeds } from "./seeds.ts";

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

/** Layers are fetched as told, and those that can be are made of the seeds; told nothing, none are. */
export function rebuilding(
  fetching: FetchOptions,
  seeds: Seeds | undefined,
  spool: Pick<LazySpool, "open">,
  onDetail: (text: string) => void,
): { fetching: FetchOptions; bytesFound: () => number } {
  if (seeds === undefined) return { fetching, bytesFound: () => 0 };
  const rebuilder = new Rebuilder({ ...fetching, seeds, spool, onDetail });
  const rebuild = async (layer: AnnouncedLayer): Promise<string | undefined> => await rebuilder.rebuild(layer);
  return { fetching: { ...fetching, rebuild }, bytesFound: () => rebuilder.bytesFound };
}

/** Makes layers of the files of images that are here, and of those pieces that are not (delta/). */
export class Rebuilder {
  readonly #options: RebuilderOptions;
  /** The files of the layers that were made, the last one last. */
  readonly #made: string[] = [];
  readonly #keysOfMade = new KeyFilter();
  #bytesFound = 0;

  constructor(options: RebuilderOptions) {
    this.#options = options;
  }

  /** Of the layers that came out right, what was here; plain bytes. */
  get bytesFound(): number {
    return this.#bytesFound;
  }

  /**
   * Makes a layer in a file. Resolves to its path when it has been proven; to undefined when it must come whole, because it did
   * not come out right. The file stays in the spool: the next layer may be of the same files, with another owner.
   */
  async rebuild(layer: AnnouncedLayer): Promise<string | undefined> {
    const { limit, signal, onDetail } = this.#options;
    const { diffId, digest, size, mediaType } = layer;
    const path = await this.#fileFor(layer);
    try {
      const found = await this.#make(layer, path);
      const checked = checkLayer({ blob: { mediaType, digest, size }, diffId, limit });
      await pipeline(createReadStream(path, { highWaterMark: 1024 * 1024 }), checked, nowhere(), { signal });
      this.#bytesFound += found;
      this.#made.push(path);
      return path;
    } catch (error) {
      if (!(error instanceof BadRecipe || error instanceof InvalidImage)) throw error;
      await rm(path, { force: true });
      onDetail(`layer ${nameOf(layer)} comes whole: what was made of its pieces is wrong (${messageOf(error)})`);
      return undefined;
    }
  }

  /** A file for it, which may be half made. */
  async #fileFor({ diffId, size }: AnnouncedLayer): Promise<string> {
    const { spool, kept } = this.#options;
    const half = await kept?.take({ mediaType: "", digest: digestOf(Buffer.from(`half made ${diffId}`)), size });
    const folder = await spool.open();
    await refuseWithoutSpace(folder, size);
    if (half !== undefined) return half.path;
    const path = folder.pathFor(`${hexOf(diffId)}.made`);
    await writeFile(path, "", { mode: 0o600 });
    return path;
  }

  /** Resolves to the bytes of it that were here. */
  async #make(layer: AnnouncedLayer, path: string): Promise<number> {
    const { client, repository, signal, onBytes, onDetail } = this.#options;
    await using file = await open(path, "r+");
    const { size: before } = await file.stat();
    const recipe = counted(await client.recipe(repository, layer.digest, signal), onBytes);
    const keys = new KeyFilter();
    const rebuild = await Rebuild.begin(file, keys.noting(decodeRecipe(recipe, { maxSize: layer.size })));
    const wanted = rebuild.left.bytes;
    // What an earlier run has put in is found where it belongs, by what it is, like everything else.
    if (before > 0) await takePieces(createReadStream(path), rebuild);
    await this.#takeWhatIsHere(rebuild);
    await this.#takeWhatWasMade(rebuild);
    this.#keysOfMade.add(keys);
    const { pieces, bytes: missing } = rebuild.left;
    onDetail(`of layer ${nameOf(layer)}, ${bytes(wanted - missing)} of ${bytes(wanted)} are in files that are here`);
    if (pieces > 0) {
      const list = encodeMissing(rebuild.missing());
      await rebuild.fill(counted(await client.pieces(repository, layer.digest, list, signal), onBytes));
    }
    return wanted - missing;
  }

  /** Images that cannot be read only make the layer cost more. */
  async #takeWhatIsHere(rebuild: Rebuild): Promise<void> {
    const { seeds, signal, onDetail } = this.#options;
    if (rebuild.left.pieces === 0) return;
    try {
      for await (const tar of readable(seeds.tars(rebuild.roots))) {
        signal.throwIfAborted();
        await takePieces(readable(tar), rebuild);
        if (rebuild.left.pieces === 0) return;
      }
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof Unreadable)) throw error;
      onDetail(`the files of images that are here cannot be read: ${error.message}`);
    }
  }

  /** `RUN chown -R` and the like make a layer of files that the one below has. */
  async #takeWhatWasMade(rebuild: Rebuild): Promise<void> {
    if (rebuild.missingBytes((key) => this.#keysOfMade.mayHave(key)) < WORTH_READING) return;
    for (const path of this.#made.toReversed()) {
      await takePieces(createReadStream(path, { highWaterMark: 1024 * 1024 }), rebuild);
      if (rebuild.left.pieces === 0) return;
    }
  }
}

/** Bytes that make it worth while to read the layers that were made, at 400 MB/s. */
const WORTH_READING = 1_000_000;

class Unreadable extends Error {
  override readonly name = "Unreadable";
}

/** Tells what a source fails with from what its reader does. */
async function* readable<T>(source: AsyncIterable<T>): AsyncGenerator<T> {
  try {
    yield* source;
  } catch (error) {
    throw new Unreadable(messageOf(error), { cause: error });
  }
}

function nameOf({ diffId }: AnnouncedLayer): string {
  return hexOf(diffId).slice(0, 12);
}

function nowhere(): Writable {
  return new Writable({ write: (_chunk, _encoding, done) => done() });
}
