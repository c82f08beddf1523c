import { promisify } from "node:util";
import * as zlib from "node:zlib";

/** How hard to compress, the least first. */
export const EFFORTS = ["none", "light", "medium", "strong"] as const;
export type Effort = (typeof EFFORTS)[number];
/** One that compresses. */
export type Strength = Exclude<Effort, "none">;

/** A way to compress a block in memory, in libuv's thread pool: several blocks at once use several cores. */
export interface Codec {
  /** As the two sides call it. */
  name: string;
  /** As a packed stream calls it (pack.ts). */
  id: number;
  /** Which of its levels is as hard as that. */
  levels: Record<Strength, number>;
  compress(block: Buffer, level: number): Promise<Buffer>;
  /** Rejects for more than `size` bytes, and for what is not such a block. */
  decompress(packed: Buffer, size: number): Promise<Buffer>;
}

/**
 * Bytes that a compressor hands over at a time: its default of 16 kB makes many small pieces, which are then put together; of one
 * large piece much stays empty, and is held as long as the packed bytes are.
 */
const CHUNK = 256 * 1024;
/** More than a block has, so that it comes in one piece, and the decompressor sees that it is at its end. */
const BEYOND = 1024;

const gzipCompress = promisify<Buffer, zlib.ZlibOptions, Buffer>(zlib.gzip);
const gzipDecompress = promisify<Buffer, zlib.ZlibOptions, Buffer>(zlib.gunzip);
const brotliCompress = promisify<Buffer, zlib.BrotliOptions, Buffer>(zlib.brotliCompress);
const brotliDecompress = promisify<Buffer, zlib.BrotliOptions, Buffer>(zlib.brotliDecompress);

/** Its logarithm: half a block. All of one leaves 1 % less, and costs a sender 3 MB or so. */
const WINDOW = 19;

const brotli: Codec = {
  name: "brotli",
  id: 1,
  // Libraries, one thread, measured with blocks of 2 MB: level 0 does 340 MB/s to 1.13 of what gzip -6 leaves at 50 MB/s; level 1, 210 MB/s
  // to 1.06; level 2, 135 MB/s to 0.95; level 5, 40 MB/s to 0.84. All unpack at 300 MB/s.
  levels: { light: 0, medium: 2, strong: 5 },
  compress: async (block, level) =>
    await brotliCompress(block, {
      chunkSize: CHUNK,
      params: {
        [zlib.constants.BROTLI_PARAM_QUALITY]: level,
        [zlib.constants.BROTLI_PARAM_SIZE_HINT]: block.length,
        [zlib.constants.BROTLI_PARAM_LGWIN]: WINDOW,
      },
    }),
  decompress: async (packed, size) =>
    await brotliDecompress(packed, { chunkSize: size + BEYOND, maxOutputLength: size }),
};

/** For who asks for it: brotli does better at any speed. */
const gzip: Codec = {
  name: "gzip",
  id: 3,
  // As above: level 1 does 92 MB/s to 1.09 of what level 6 leaves; level 4, 71 MB/s to 1.03; level 9 gains nothing at half the speed.
  levels: { light: 1, medium: 4, strong: 6 },
  compress: async (block, level) => await gzipCompress(block, { chunkSize: CHUNK, level }),
  decompress: async (packed, size) => await gzipDecompress(packed, { chunkSize: size + BEYOND, maxOutputLength: size }),
};

/** Node has it from 22.15 and 23.8 on; its types here are those of Node 20. */
interface Zstd {
  zstdCompress: (block: Buffer, options: object, done: (error: Error | null, packed: Buffer) => void) => void;
  zstdDecompress: (packed: Buffer, options: object, done: (error: Error | null, block: Buffer) => void) => void;
  constants: { ZSTD_c_compressionLevel: number };
}

function zstdOf({ zstdCompress, zstdDecompress, constants }: Zstd): Codec {
  const compress = promisify(zstdCompress);
  const decompress = promisify(zstdDecompress);
  return {
    name: "zstd",
    id: 2,
    // One thread: level 1 does 279 MB/s to 1.02 of what gzip -6 leaves, level 3 does 163 MB/s to 0.91, level 9 57 MB/s to 0.79.
    levels: { light: 1, medium: 3, strong: 9 },
    compress: async (block, level) =>
      await compress(block, { chunkSize: CHUNK, params: { [constants.ZSTD_c_compressionLevel]: level } }),
    decompress: async (packed, size) => await decompress(packed, { chunkSize: size + BEYOND, maxOutputLength: size }),
  };
}

/** What this Node has, the best first. */
export const CODECS: readonly Codec[] = [
  ...("zstdCompress" in zlib ? [zstdOf(zlib as unknown as Zstd)] : []),
  brotli,
  gzip,
];

/** The best that both sides have; undefined when there is none. */
export function commonCodec(names: readonly string[]): Codec | undefined {
  return CODECS.find(({ name }) => names.includes(name));
}
