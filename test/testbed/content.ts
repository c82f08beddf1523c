import { createCipheriv, createHash } from "node:crypto";

/** `random` cannot be compressed; `text` can, to about a third, like program code. */
export type ContentKind = "random" | "text";

const blockSize = 65_536;

/** `bytes` bytes that depend on nothing but the seed. */
export function* makeContent(kind: ContentKind, bytes: number, seed: string): Generator<Uint8Array> {
  const blocks = kind === "random" ? randomBlocks(seed) : textBlocks(seed);
  for (let left = bytes; left > 0; ) {
    const block = blocks.next().value.subarray(0, left);
    yield block;
    left -= block.length;
  }
}

/** AES in counter mode is the fastest generator that Node has built in. */
function* randomBlocks(seed: string): Generator<Buffer, never> {
  const key = createHash("sha256").update(seed).digest();
  const cipher = createCipheriv("aes-128-ctr", key.subarray(0, 16), key.subarray(16, 32));
  const zeros = Buffer.alloc(blockSize);
  for (;;) yield cipher.update(zeros);
}

/** Words and numbers, one byte of chance each. */
function* textBlocks(seed: string): Generator<Buffer, never> {
  for (const random of randomBlocks(seed)) {
    let text = "";
    for (let i = 0; i + 1 < random.length; i += 2) {
      const separator = i % 32 === 0 ? ";\n" : " ";
      text += `${words[random[i]! % words.length]}${separator}${random[i + 1]} `;
    }
    yield Buffer.from(text);
  }
  throw new Error("randomBlocks never ends");
}

const words = (
  "abstract arguments await boolean break byte case catch char class const continue debugger " +
  "default delete do double else enum eval export extends false final finally float for function " +
  "goto if implements import in instanceof int interface let long native new null package private " +
  "protected public return short static super switch synchronized this throw throws transient true " +
  "try typeof var void volatile while with yield"
).split(" ");
