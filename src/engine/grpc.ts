import { connect, type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";
import type { Duplex } from "node:stream";

/**
 * As much of gRPC (its "gRPC over HTTP2" document) and of protobuf's encoding as it takes to ask a question of a few short fields.
 * The libraries for it cannot speak over a connection that is open already, and are slow to load.
 */

/** A connection that speaks gRPC. Disposing ends it, and with it every call under way. Owns the stream. */
export class GrpcConnection implements Disposable {
  readonly #session: ClientHttp2Session;

  constructor(stream: Duplex) {
    this.#session = connect("http://engine", { createConnection: () => stream });
    this.#session.on("error", () => {}); // the calls tell of it
  }

  /** Begins a call, of which the answer is not waited for: it ends with the connection. */
  begin(path: string, fields: Buffer, metadata: Record<string, string> = {}): void {
    this.#send(path, fields, metadata)
      .on("error", () => {})
      .resume();
  }

  /** The answer's message. Rejects when there is none, or one of more than `maxBytes`. */
  async call(path: string, fields: Buffer, metadata: Record<string, string>, maxBytes: number): Promise<Buffer> {
    const stream = this.#send(path, fields, metadata);
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > maxBytes) throw new Error(`the answer to ${path} is longer than ${maxBytes} bytes`);
      chunks.push(chunk);
    }
    const framed = Buffer.concat(chunks);
    // A byte that says that it is not compressed, and its length. Without a message, the trailers say why.
    if (framed.length < 5 || framed[0] !== 0 || framed.readUInt32BE(1) !== framed.length - 5) {
      throw new Error(`there is no answer to ${path}`);
    }
    return framed.subarray(5);
  }

  #send(path: string, fields: Buffer, metadata: Record<string, string>): ClientHttp2Stream {
    const length = Buffer.alloc(5);
    length.writeUInt32BE(fields.length, 1);
    const headers = { ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers" };
    const stream = this.#session.request({ ...headers, ...metadata });
    stream.end(Buffer.concat([length, fields]));
    return stream;
  }

  [Symbol.dispose](): void {
    this.#session.destroy();
  }
}

/** A text of at most {@link MAX_TEXT} bytes as a field of a message; without any, an empty message. */
export function textField(number: number, text: string): Buffer {
  const value = Buffer.from(text);
  if (number > 15 || value.length > MAX_TEXT) throw new RangeError("not a field of one byte, or a long text");
  return Buffer.concat([Buffer.from([(number << 3) | 2, ...varint(value.length)]), value]);
}

/** `true` as a field of a message. */
export function trueField(number: number): Buffer {
  return Buffer.from([number << 3, 1]);
}

/** The last value of a field of text or bytes; undefined when the message has none, or is none. */
export function readField(message: Buffer, number: number): Buffer | undefined {
  let found: Buffer | undefined;
  let at = 0;
  while (at < message.length) {
    const tag = message[at++] ?? 0;
    if ((tag & 0x80) !== 0 || (tag & 7) !== 2) return undefined; // no field of the answers that are read here
    let length = 0;
    let factor = 1;
    for (;;) {
      const byte = message[at++];
      if (byte === undefined || factor > 2 ** 28) return undefined;
      length += (byte & 0x7f) * factor;
      factor *= 128;
      if (byte < 0x80) break;
    }
    if (at + length > message.length) return undefined;
    if (tag >> 3 === number) found = message.subarray(at, at + length);
    at += length;
  }
  return found;
}

const MAX_TEXT = 16_383;

/** Of less than two times seven bits. */
function varint(value: number): number[] {
  return value < 128 ? [value] : [(value & 0x7f) | 0x80, value >> 7];
}
