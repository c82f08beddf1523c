import { createReadStream, createWriteStream } from "node:fs";
import { open, rm } from "node:fs/promises";
import { addAbortSignal, type Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { cutTar } from "../delta/cut-tar.ts";
import { decodeRecipe } from "../delta/decode-recipe.ts";
import { encodeRecipe } from "../delta/encode-recipe.ts";
import { encodeMissingPieces, maxMissingPiecesBytes } from "../delta/missing-pieces.ts";
import { PieceIndex } from "../delta/piece-index.ts";
import { InvalidRecipe } from "../delta/recipe-errors.ts";
import { MAX_PIECES } from "../delta/recipe.ts";
import { reusePieces } from "../delta/reuse-pieces.ts";
import { TarRebuild } from "../delta/tar-rebuild.ts";
import type { Digest } from "../image/digest.ts";
import { InvalidImage } from "../image/invalid-image.ts";
import { decompressLayer } from "../image/layer/decompress-layer.ts";
import { passThroughVerifier } from "../image/layer/verified-stream.ts";
import { digestVerifier } from "../image/layer/verify-digest.ts";
import { MEDIA_TYPE } from "../image/manifest.ts";
import { countBytes } from "../streams/count-bytes.ts";
import { gzip } from "../streams/gzip.ts";
import type { DeltaBaseImage } from "./delta-bases.ts";
import { bytesFree } from "./rebuilt-file.ts";
import { verifyRebuiltTar } from "./verify-rebuilt-tar.ts";

/**
 * A layer by delta in a file, for a receiver that cannot be queried: gzip of a header, the recipe, the list of the pieces that the delta
 * base lacks, and these pieces. The header consists of {@link MAGIC} and the lengths of the recipe and of the list in bytes, each as 64
 * bits in big-endian order.
 */
const MAGIC = "dos-dlt1";
const HEADER = MAGIC.length + 2 * 8;

/** A delta in a file. */
export interface DeltaBlob {
  path: string;
  digest: Digest;
  /** Bytes of the file. */
  size: number;
  /** Bytes of the layer's pieces, and bytes of those that are in the delta base. */
  bytes: number;
  bytesFound: number;
}

export interface CutOptions {
  /** The layer's plain tar. */
  tar: string;
  base: Pick<DeltaBaseImage, "tars">;
  /** Bytes of the tar. */
  size: number;
  /** The path of the new file. A file with the suffix `.recipe` is written next to it, and removed again. */
  path: string;
  signal: AbortSignal;
  /** Receives the number of bytes read: a large layer takes minutes. */
  onBytes?: ((count: number) => void) | undefined;
}

/**
 * Cuts a layer's plain tar, and writes its delta against a base. Rejects with the errors of the base and of the file system, and when it is
 * aborted. Leaves no file in these cases.
 */
export async function writeDelta(options: CutOptions): Promise<DeltaBlob> {
  const { path } = options;
  const recipePath = `${path}.recipe`;
  try {
    return await cut(options, recipePath);
  } catch (error) {
    await rm(path, { force: true }); // a full disk needs the room
    throw error;
  } finally {
    await rm(recipePath, { force: true });
  }
}

async function cut(
  { tar, base, size, path, signal, onBytes = () => {} }: CutOptions,
  recipePath: string,
): Promise<DeltaBlob> {
  const pieces = new PieceIndex();
  const segments = cutTar(countBytes(createReadStream(tar), onBytes));
  await pipeline(encodeRecipe(segments, { pieces }), createWriteStream(recipePath, NEW), { signal });
  const rebuild = TarRebuild.start(undefined, decodeRecipe(createReadStream(recipePath), { maxSize: size }));
  try {
    await rebuild.recipeRead;
    await reuseAll(rebuild, base, { signal, onBytes });
    const missing = rebuild.missingOrdinals();
    const list = encodeMissingPieces(missing);
    await using file = await open(tar);
    await using recipe = await open(recipePath);
    const header = headerOf((await recipe.stat()).size, list.length);
    const written = digestVerifier({ what: "a delta" });
    const parts = gzip(
      countBytes(
        joined([header], recipe.createReadStream({ autoClose: false }), [list], pieces.read(file, missing)),
        onBytes,
      ),
    );
    await pipeline(passThroughVerifier(parts, written), createWriteStream(path, NEW), { signal });
    const bytes = rebuild.distinctBytes;
    return { path, ...written.finish(), bytes, bytesFound: bytes - rebuild.missing.bytes };
  } finally {
    await rebuild.stop();
  }
}

const NEW = { flags: "wx", mode: 0o600 };

/** Thrown if the delta base has other files than the delta base from which the delta was created. */
export class OtherDeltaBase extends Error {
  override readonly name = "OtherDeltaBase";
}

export interface RebuildFromDeltaOptions {
  diffId: Digest;
  /** The maximum size of the layer's tar in bytes. */
  size: number;
  /** Opens the delta's file, which is hostile input. */
  open: () => Readable;
  base: Pick<DeltaBaseImage, "tars">;
  /** The path of the new file. */
  path: string;
  signal: AbortSignal;
  /** Receives the number of bytes read. */
  onBytes?: ((count: number) => void) | undefined;
}

/**
 * Rebuilds a layer's tar in a file from a delta and its base, and verifies its diff ID. Returns the bytes of the tar. Throws
 * `InvalidImage`, {@link OtherDeltaBase}, and the errors of the base and of the file system.
 */
export async function rebuildFromDelta(options: RebuildFromDeltaOptions): Promise<number> {
  const { diffId, base, path, signal, onBytes = () => {} } = options;
  await using file = await open(path, "wx+", 0o600);
  const plain = addAbortSignal(signal, decompressLayer(options.open(), MEDIA_TYPE.ociLayerGzip));
  const parts = new Parts(countBytes(plain, onBytes));
  try {
    const lengths = readHeader(await parts.bytes(HEADER));
    const maxSize = Math.min(options.size, await bytesFree(path));
    const rebuild = TarRebuild.start(file, decodeRecipe(parts.next(lengths.recipe), { maxSize }));
    const verified = verifyRebuiltTar(file, rebuild, { diffId, signal });
    verified.catch(() => {}); // awaited below
    try {
      await rebuild.recipeRead;
      await reuseAll(rebuild, base, { signal, onBytes });
      const list = await parts.bytes(lengths.list);
      // With the same recipe and the same files in the base, the same pieces are missing.
      if (!list.equals(encodeMissingPieces(rebuild.missingOrdinals()))) throw new OtherDeltaBase("it has other files");
      await rebuild.fill(parts.rest());
      return await verified;
    } catch (error) {
      throw error instanceof InvalidRecipe ? new InvalidImage(error.message, { cause: error }) : error;
    } finally {
      await rebuild.stop();
      await verified.catch(() => {});
    }
  } finally {
    plain.destroy();
  }
}

/** Reads all files of a base that may contain pieces of a layer. Both sides find the same pieces. */
async function reuseAll(
  rebuild: TarRebuild,
  base: Pick<DeltaBaseImage, "tars">,
  { signal, onBytes }: { signal: AbortSignal; onBytes: (count: number) => void },
): Promise<void> {
  for await (const { tar } of base.tars(rebuild.folders)) {
    signal.throwIfAborted();
    await reusePieces(countBytes(tar, onBytes), rebuild);
  }
}

function headerOf(recipe: number, list: number): Buffer {
  const header = Buffer.alloc(HEADER);
  header.write(MAGIC, "latin1");
  header.writeBigUInt64BE(BigInt(recipe), MAGIC.length);
  header.writeBigUInt64BE(BigInt(list), MAGIC.length + 8);
  return header;
}

function readHeader(header: Buffer): { recipe: number; list: number } {
  if (header.toString("latin1", 0, MAGIC.length) !== MAGIC) throw new InvalidImage("a delta has no header");
  const [recipe, list] = [8, 16].map((at) => Number(header.readBigUInt64BE(at))) as [number, number];
  if (list > maxMissingPiecesBytes(MAX_PIECES)) throw new InvalidImage("a delta has too long a list of pieces");
  return { recipe, list };
}

async function* joined(...parts: (Iterable<Buffer> | AsyncIterable<Buffer>)[]): AsyncGenerator<Buffer> {
  for (const part of parts) yield* part;
}

/** Reads the parts of a stream, one after the other. */
class Parts {
  readonly #chunks: AsyncIterator<Buffer>;
  #left: Buffer = Buffer.alloc(0);

  constructor(bytes: AsyncIterable<Buffer>) {
    this.#chunks = bytes[Symbol.asyncIterator]();
  }

  /** Yields the next `length` bytes. Throws `InvalidImage` if the stream ends earlier. */
  async *next(length: number): AsyncGenerator<Buffer> {
    for (let left = length; left > 0;) {
      if (!(await this.#fill())) throw new InvalidImage("a delta is truncated");
      const part = this.#left.subarray(0, left);
      this.#left = this.#left.subarray(part.length);
      left -= part.length;
      yield part;
    }
  }

  async bytes(length: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    for await (const part of this.next(length)) parts.push(part);
    return Buffer.concat(parts);
  }

  /** Yields all further bytes, to the end of the stream. */
  async *rest(): AsyncGenerator<Buffer> {
    while (await this.#fill()) {
      const part = this.#left;
      this.#left = Buffer.alloc(0);
      yield part;
    }
  }

  /** Makes some bytes available. Returns false at the end of the stream. */
  async #fill(): Promise<boolean> {
    while (this.#left.length === 0) {
      const { value, done } = await this.#chunks.next();
      if (done === true) return false;
      this.#left = value;
    }
    return true;
  }
}
