import { once } from "node:events";
import { MAGIC_LENGTH } from "../layer/compression.ts";
import type { RandomAccessFiles } from "./archive-files.ts";

/** Reads the first bytes of a file in an archive, which identify its compression. */
export async function firstBytes(files: RandomAccessFiles, path: string): Promise<Buffer> {
  const stream = files.open(path);
  try {
    await once(stream, "readable");
    return (stream.read(MAGIC_LENGTH) ?? stream.read() ?? Buffer.alloc(0)) as Buffer;
  } finally {
    stream.destroy();
  }
}
