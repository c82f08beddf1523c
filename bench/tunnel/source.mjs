/** Streams this number of bytes from memory, as fast as they are read. */
import { Readable } from "node:stream";

const piece = Buffer.alloc(65_536, 7);

export function source(bytes) {
  let left = bytes;
  return new Readable({
    read() {
      const size = Math.min(left, piece.length);
      left -= size;
      this.push(size === 0 ? null : piece.subarray(0, size));
    },
  });
}
