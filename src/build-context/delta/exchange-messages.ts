import { BLOCK } from "../../packing/pack.ts";
import type { Failure } from "../../output/errors.ts";
import { remoteFailure } from "../../stdio-tunnel/failures.ts";
import { MAX_PIECE } from "../../delta/chunker.ts";
import { ByteReader, InvalidBytes } from "./byte-reader.ts";
import { ByteWriter } from "./byte-writer.ts";
import { DIGEST_BYTES, type Piece } from "./piece.ts";

/**
 * The messages of an exchange. Each is a block of a packed stream (packing/): its type in one byte, and its content. The sender has the
 * context, the receiver builds.
 *
 *     receiver  hello    first of all: whether it has nothing of the project, and the codecs that it unpacks
 *     sender    pieces   contents of files and of the listing, at any time, without their digests: the receiver computes them
 *     sender    listing  the pieces that the listing consists of
 *     receiver  want     the numbers of the pieces in `listing` that it lacks
 *     sender    pieces   these
 *     receiver  want     the numbers of the distinct pieces of the listed files that it lacks
 *     sender    pieces   these
 *     receiver  done     it has the whole context
 *
 * Either side may send `failure` instead of any of its messages. It is the last message of that side.
 */
export type ContextSenderMessage =
  | { type: "pieces"; contents: readonly Uint8Array[] }
  | { type: "listing"; pieces: readonly Piece[] }
  | { type: "failure"; failure: Failure };

export type ContextReceiverMessage =
  | { type: "hello"; isEmpty: boolean; codecs: readonly string[] }
  /** `numbers` is in ascending order. Further `want` messages follow unless `isLast`. */
  | { type: "want"; numbers: readonly number[]; isLast: boolean }
  | { type: "done" }
  | { type: "failure"; failure: Failure };

const TYPES = ["hello", "want", "done", "failure", "pieces", "listing"] as const;

/** Bytes of contents in a `pieces` message. Contents and their sizes must fit into a block. */
export const MAX_CONTENTS = BLOCK - 64 * 1024;
/** Pieces in a `pieces` message. The size of each takes up to three bytes. */
export const MAX_COUNT = 16 * 1024;
/** Numbers in a `want` message. Each takes up to eight bytes. */
const MAX_NUMBERS = 64 * 1024;

export function encodeMessage(message: ContextSenderMessage | ContextReceiverMessage): Buffer {
  const to = new ByteWriter(message.type === "pieces" ? BLOCK : undefined);
  to.number(TYPES.indexOf(message.type));
  if (message.type === "hello") {
    to.bytes(Buffer.from(JSON.stringify({ isEmpty: message.isEmpty, codecs: message.codecs })));
  } else if (message.type === "failure") {
    const { code, message: text, expected, hint } = message.failure;
    to.bytes(Buffer.from(JSON.stringify({ code, message: text, expected, hint })));
  } else if (message.type === "want") {
    to.number(message.isLast ? 1 : 0);
    to.number(message.numbers.length);
    let next = 0;
    for (const number of message.numbers) {
      to.number(number - next);
      next = number + 1;
    }
  } else if (message.type === "pieces") {
    to.number(message.contents.length);
    for (const { length } of message.contents) to.number(length);
    for (const content of message.contents) to.bytes(content);
  } else if (message.type === "listing") {
    to.number(message.pieces.length);
    for (const { size, digest } of message.pieces) {
      to.number(size);
      to.text(digest);
    }
  }
  return to.take();
}

/** Decodes a message, which is hostile input. Throws {@link InvalidBytes}. Contents are views of `bytes`. */
export function decodeMessage(bytes: Buffer): ContextSenderMessage | ContextReceiverMessage {
  const from = new ByteReader(bytes);
  const type = TYPES[from.number()];
  const message = type && decodeContent(type, from);
  if (message === undefined) throw new InvalidBytes("a message has an unknown type");
  if (from.left > 0) throw new InvalidBytes("a message has bytes after its end");
  return message;
}

function decodeContent(type: (typeof TYPES)[number], from: ByteReader): ContextSenderMessage | ContextReceiverMessage {
  switch (type) {
    case "hello": {
      const { isEmpty, codecs } = json(from);
      return { type, isEmpty: isEmpty === true, codecs: Array.isArray(codecs) ? codecs.map(String) : [] };
    }
    case "failure":
      return { type, failure: remoteFailure({ type, ...json(from) }) };
    case "want":
      return decodeWant(from);
    case "pieces": {
      const sizes = Array.from({ length: count(from, 1) }, () => pieceSize(from));
      return { type, contents: sizes.map((size) => from.bytes(size)) };
    }
    case "listing": {
      const pieces = Array.from({ length: count(from, 1 + DIGEST_BYTES) }, () => ({
        size: pieceSize(from),
        digest: from.text(DIGEST_BYTES),
      }));
      return { type, pieces };
    }
    case "done":
      return { type };
  }
}

function decodeWant(from: ByteReader): ContextReceiverMessage {
  const isLast = from.number() === 1;
  let next = 0;
  const numbers = Array.from({ length: count(from, 1) }, () => {
    const number = next + from.number();
    next = number + 1;
    return number;
  });
  return { type: "want", numbers, isLast };
}

/** Splits numbers into `want` messages. */
export function* wantMessages(numbers: readonly number[]): Generator<ContextReceiverMessage> {
  for (let at = 0; at === 0 || at < numbers.length; at += MAX_NUMBERS) {
    const isLast = at + MAX_NUMBERS >= numbers.length;
    yield { type: "want", numbers: numbers.slice(at, at + MAX_NUMBERS), isLast };
  }
}

/** Reads a count of items of at least `size` bytes each. */
function count(from: ByteReader, size: number): number {
  const found = from.number();
  if (found * size > from.left) throw new InvalidBytes("a message has fewer items than it declares");
  return found;
}

function pieceSize(from: ByteReader): number {
  const size = from.number();
  if (size === 0 || size > MAX_PIECE) throw new InvalidBytes("a piece has an impossible size");
  return size;
}

function json(from: ByteReader): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(from.bytes(from.left).toString("utf8"));
    if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  } catch {
    // reported below
  }
  throw new InvalidBytes("a message is not a JSON object");
}
