import type { FileHandle } from "node:fs/promises";
import { extract, type Header } from "tar-stream";
import { InvalidImage } from "../invalid-image.ts";
import { notTar } from "./parse-tar.ts";

/** Bytes read at once: the headers of small files lie close together. */
const WINDOW = 64 * 1024;
/** Bytes written to the parser at once. This is its high-water mark, so it emits "drain" when it needs more. */
const CHUNK = 16 * 1024;

/** A header of a tar on disk. */
export interface HeaderAtOffset {
  header: Header;
  /** Offset of the content's first byte in the file. */
  offset: number;
}

/**
 * Reads a tar's headers at their offsets, each with a new parser (10 µs), and skips the contents between them. Leaves the file to its owner.
 */
export class TarHeaders {
  readonly #file: FileHandle;
  #window: Buffer = Buffer.alloc(0);
  /** Offset of the window's first byte in the file. */
  #start = 0;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  /**
   * Reads the first header from `position` on, including the pax and GNU headers before it. Returns undefined if only zeros follow. Throws
   * `InvalidImage` for bytes that are not a tar, and the file system's errors.
   */
  async at(position: number): Promise<HeaderAtOffset | undefined> {
    const parser = extract();
    try {
      const header = await new Promise<Header | undefined>((resolve, reject) => {
        let next = position;
        const feed = (): void => {
          this.#bytesAt(next).then((bytes) => {
            next += bytes.length;
            if (bytes.length === 0) parser.end(undefined);
            else if (parser.write(bytes)) feed();
          }, reject);
        };
        parser.on("entry", (found) => resolve(found));
        parser.on("drain", feed);
        parser.on("finish", () => resolve(undefined));
        parser.on("error", (error: Error) => reject(error instanceof InvalidImage ? error : notTar(error)));
        feed();
      });
      if (header === undefined) return undefined;
      const { byteOffset } = header as Header & { byteOffset: number };
      return { header, offset: position + byteOffset };
    } finally {
      parser.destroy();
    }
  }

  /** Returns some bytes from `position` on, none at the file's end. */
  async #bytesAt(position: number): Promise<Buffer> {
    const from = position - this.#start;
    if (from < 0 || from >= this.#window.length) {
      const { buffer, bytesRead } = await this.#file.read(Buffer.allocUnsafe(WINDOW), 0, WINDOW, position);
      this.#window = buffer.subarray(0, bytesRead);
      this.#start = position;
      return this.#window.subarray(0, CHUNK);
    }
    return this.#window.subarray(from, from + CHUNK);
  }
}
