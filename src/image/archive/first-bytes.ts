import { once } from "node:events";
import { MAGIC_LENGTH } from "../layer/compression.ts";
import type { RandomAccessFiles } from "./archive-files.ts";

/** The first bytes of a file of an archive, which tell how it is packed. */
export async function firstBytes(files: RandomAccessFiles, path: string): Promise<Buffer> {
  const stream = files.open(path);
  try {
    await once(stream, "readable");
    return (stream.read(MAGIC_LENGTH) ?? stream.read() ?? Buffer.alloc(0)) as Buffer;
  } finally {
    stream.destroy();
  }
}
