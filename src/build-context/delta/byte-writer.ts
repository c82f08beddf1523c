/** Encodes numbers and texts into a buffer that grows. */
export class ByteWriter {
  length = 0;
  #bytes: Buffer;

  /** @param expected the expected size in bytes; up to it, the buffer need not grow */
  constructor(expected = 1024) {
    this.#bytes = Buffer.allocUnsafe(expected);
  }

  /** Appends an integer from 0 to 2^53 as a varint: 7 bits a byte, the lowest first. */
  number(value: number): void {
    this.#grow(8);
    let rest = value;
    for (; rest > 127; rest = Math.floor(rest / 128)) this.#bytes[this.length++] = (rest % 128) + 128;
    this.#bytes[this.length++] = rest;
  }

  /** Appends characters of one byte each (latin1), without their number. */
  text(text: string): void {
    this.#grow(text.length);
    this.length += this.#bytes.write(text, this.length, "latin1");
  }

  bytes(bytes: Uint8Array): void {
    this.#grow(bytes.length);
    this.#bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  /** Returns a view of the bytes written so far. */
  take(): Buffer {
    return this.#bytes.subarray(0, this.length);
  }

  #grow(more: number): void {
    if (this.length + more <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(2 * (this.length + more));
    this.#bytes.copy(larger, 0, 0, this.length);
    this.#bytes = larger;
  }
}
