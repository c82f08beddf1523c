import { createCipheriv, createHash } from "node:crypto";

/** `random` is incompressible; `text` compresses to about a third, like program code. */
export type ContentKind = "random" | "text";

/** Bytes of a chunk. */
const maxBlock = 65_536;

/** Yields `bytes` bytes that depend on the seed alone. */
export function* makeContent(kind: ContentKind, bytes: number, seed: string): Generator<Uint8Array> {
  // AES in counter mode is the fastest generator that is built into Node.
  const key = createHash("sha256").update(seed).digest();
  const cipher = createCipheriv("aes-128-ctr", key.subarray(0, 16), key.subarray(16, 32));
  for (let left = bytes; left > 0;) {
    const random = cipher.update(zeros.subarray(0, left));
    const block = kind === "random" ? random : toText(random).subarray(0, left);
    yield block;
    left -= block.length;
  }
}

const zeros = Buffer.alloc(maxBlock);

/** Returns words and numbers, one for each random byte. The result is longer than the input. */
function toText(random: Buffer): Buffer {
  let text = "";
  for (let i = 0; i < random.length && text.length < random.length; i += 2) {
    const separator = i % 32 === 0 ? ";\n" : " ";
    text += `${words[random.readUInt8(i) % words.length]}${separator}${random[i + 1] ?? 0} `;
  }
  return Buffer.from(text);
}

const words = (
  "abstract arguments await boolean break byte case catch char class const continue debugger " +
  "default delete do double else enum eval export extends false final finally float for function " +
  "goto if implements import in instanceof int interface let long native new null package private " +
  "protected public return short static super switch synchronized this throw throws transient true " +
  "try typeof var void volatile while with yield"
).split(" ");
