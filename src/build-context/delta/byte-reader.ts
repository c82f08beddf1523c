/** Thrown for bytes that {@link ByteReader} cannot decode. */
export class InvalidBytes extends Error {
  override readonly name = "InvalidBytes";
}

/** Reads the output of `ByteWriter`. The bytes are hostile input: throws {@link InvalidBytes} at their end and for malformed numbers. */
export class ByteReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  number(): number {
    let value = 0;
    for (let scale = 1; scale <= Number.MAX_SAFE_INTEGER; scale *= 128) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw new InvalidBytes("it ends in the middle");
      value += (byte % 128) * scale;
      if (byte < 128 && Number.isSafeInteger(value)) return value;
    }
    throw new InvalidBytes("a number is too large");
  }

  /** Reads characters of one byte each (latin1). */
  text(length: number): string {
    const from = this.#skip(length);
    return this.#bytes.toString("latin1", from, from + length);
  }

  /** Returns a view of the bytes. */
  bytes(length: number): Buffer {
    const from = this.#skip(length);
    return this.#bytes.subarray(from, from + length);
  }

  #skip(length: number): number {
    if (length > this.left) throw new InvalidBytes("it ends in the middle");
    const from = this.#at;
    this.#at += length;
    return from;
  }
}
