/** Bytes before a message: a flag for compression, and the message's length (grpc, PROTOCOL-HTTP2.md, "Length-Prefixed-Message"). */
export const FRAME_HEADER = 5;

/** Thrown for a stream that is not gRPC. */
class InvalidFrame extends Error {
  override readonly name = "InvalidFrame";
}

/** Writes the header of a frame with a message of `length` bytes into a buffer. */
export function writeFrameHeader(into: Buffer, at: number, length: number): void {
  into.writeUInt8(0, at);
  into.writeUInt32BE(length, at + 1);
}

/**
 * Yields the messages of a gRPC stream.
 *
 * @throws InvalidFrame for a message that is compressed, longer than `max` bytes, or truncated
 */
export async function* readFrames(chunks: AsyncIterable<Buffer>, max: number): AsyncGenerator<Buffer> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    while (rest.length >= FRAME_HEADER) {
      const length = rest.readUInt32BE(1);
      if (rest[0] !== 0) throw new InvalidFrame("a message is compressed, which was not agreed on");
      if (length > max) throw new InvalidFrame(`a message is longer than ${max} bytes`);
      if (rest.length < FRAME_HEADER + length) break;
      yield rest.subarray(FRAME_HEADER, FRAME_HEADER + length);
      rest = rest.subarray(FRAME_HEADER + length);
    }
  }
  if (rest.length > 0) throw new InvalidFrame("the stream ends in the middle of a message");
}
