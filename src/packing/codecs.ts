import { promisify } from "node:util";
import * as zlib from "node:zlib";

/** How strongly to compress, weakest first. */
export const EFFORTS = ["none", "light", "medium", "strong"] as const;
export type Effort = (typeof EFFORTS)[number];
/** An effort that compresses. */
export type Strength = Exclude<Effort, "none">;

/** Compresses blocks in memory in libuv's thread pool: several blocks at once use several cores. */
export interface Codec {
  /** The codec's name in messages and in `--compress`. */
  name: string;
  /** The codec's number in a packed stream (pack.ts). */
  id: number;
  /** The codec's level for each effort. */
  levels: Record<Strength, number>;
  compress(block: Buffer, level: number): Promise<Buffer>;
  /** Rejects for a block of more than `size` bytes, and for malformed data. */
  decompress(packed: Buffer, size: number): Promise<Buffer>;
}

/**
 * Bytes of a compressor's output buffers. The default of 16 kB makes many small buffers that must be concatenated. A single large buffer
 * would stay mostly empty, and be in memory as long as the packed bytes.
 */
const CHUNK = 256 * 1024;
/** Bytes beyond a block's size, so that it decompresses into one buffer and the decompressor sees the end. */
const SLACK = 1024;

const gzipCompress = promisify<Buffer, zlib.ZlibOptions, Buffer>(zlib.gzip);
const gzipDecompress = promisify<Buffer, zlib.ZlibOptions, Buffer>(zlib.gunzip);
const brotliCompress = promisify<Buffer, zlib.BrotliOptions, Buffer>(zlib.brotliCompress);
const brotliDecompress = promisify<Buffer, zlib.BrotliOptions, Buffer>(zlib.brotliDecompress);

/** The logarithm of brotli's window: half a block. A whole block makes 1 % less output, and costs a sender about 3 MB of memory. */
const WINDOW = 19;

const brotli: Codec = {
  name: "brotli",
  id: 1,
  // Shared libraries, one thread, blocks of 2 MB: level 0 does 340 MB/s and leaves 1.13 times the size of gzip -6 (50 MB/s); level 1, 210
  // MB/s
  // and 1.06; level 2, 135 MB/s and 0.95; level 5, 40 MB/s and 0.84. All unpack at 300 MB/s.
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
    await brotliDecompress(packed, { chunkSize: size + SLACK, maxOutputLength: size }),
};

/** Only for `--compress gzip`: brotli compresses better at any speed. */
const gzip: Codec = {
  name: "gzip",
  id: 3,
  // As above: level 1 does 92 MB/s and leaves 1.09 times the size of level 6; level 4, 71 MB/s and 1.03; level 9 gains nothing at half the
  // speed.
  levels: { light: 1, medium: 4, strong: 6 },
  compress: async (block, level) => await gzipCompress(block, { chunkSize: CHUNK, level }),
  decompress: async (packed, size) => await gzipDecompress(packed, { chunkSize: size + SLACK, maxOutputLength: size }),
};

/** Zstd exists in Node since 22.15 and 23.8, but this program uses the types of Node 20. */
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
    // One thread: level 1 does 279 MB/s and leaves 1.02 times the size of gzip -6; level 3, 163 MB/s and 0.91; level 9, 57 MB/s and 0.79.
    levels: { light: 1, medium: 3, strong: 9 },
    compress: async (block, level) =>
      await compress(block, { chunkSize: CHUNK, params: { [constants.ZSTD_c_compressionLevel]: level } }),
    decompress: async (packed, size) => await decompress(packed, { chunkSize: size + SLACK, maxOutputLength: size }),
  };
}

/** The codecs of this Node, best first. */
export const CODECS: readonly Codec[] = [
  ...("zstdCompress" in zlib ? [zstdOf(zlib as unknown as Zstd)] : []),
  brotli,
  gzip,
];

/** Returns the best codec that both sides have; undefined if there is none. */
export function commonCodec(names: readonly string[]): Codec | undefined {
  return CODECS.find(({ name }) => names.includes(name));
}
