import type { FileHandle } from "node:fs/promises";
import { extract, type Header } from "tar-stream";
import { InvalidImage } from "../invalid-image.ts";
import { notTar } from "./parse-tar.ts";

/** Bytes read at once: the headers of a folder's small files lie close together. */
const WINDOW = 64 * 1024;
/** Bytes that the parser is given at once: at its high-water mark, so that it says when it wants more. */
const PORTION = 16 * 1024;

/** A header in a tar on disk. */
export interface HeaderAtOffset {
  header: Header;
  /** Of the content's first byte in the file. */
  offset: number;
}

/**
 * Reads a tar's headers at the places where they begin, by a parser of its own for each (10 µs), so that the content need not be read to
 * get to the next. The file stays its owner's.
 */
export class TarHeaders {
  readonly #file: FileHandle;
  #window: Buffer = Buffer.alloc(0);
  /** Of the window's first byte in the file. */
  #start = 0;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  /**
   * The first header from `position` on, the headers that pax and GNU put before it taken together with it. Undefined when there
   * are only zeros. Throws `InvalidImage` for what is no tar, and the file system's errors.
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

  /** Some bytes from there on; none at the file's end. */
  async #bytesAt(position: number): Promise<Buffer> {
    const from = position - this.#start;
    if (from < 0 || from >= this.#window.length) {
      const { buffer, bytesRead } = await this.#file.read(Buffer.allocUnsafe(WINDOW), 0, WINDOW, position);
      this.#window = buffer.subarray(0, bytesRead);
      this.#start = position;
      return this.#window.subarray(0, PORTION);
    }
    return this.#window.subarray(from, from + PORTION);
  }
}
