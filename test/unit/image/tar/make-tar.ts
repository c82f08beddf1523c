import { pack } from "tar-stream";

/** An entry of a test tar. A folder or a link has no content. */
export interface TestEntry {
  name: string;
  content?: Buffer | string;
  type?: "file" | "directory" | "symlink" | "link" | "fifo";
  linkname?: string;
  /** The time in seconds. */
  mtime?: number;
  uid?: number;
}

export async function makeTar(entries: TestEntry[]): Promise<Buffer> {
  const tar = pack();
  for (const { name, content, type = "file", linkname, mtime = 0, uid = 0 } of entries) {
    const header = { name, type, uid, mtime: new Date(1000 * mtime), ...(linkname !== undefined && { linkname }) };
    if (content === undefined) tar.entry(header, "");
    else tar.entry(header, content);
  }
  tar.finalize();
  return await bytesOf(tar as AsyncIterable<Buffer>);
}

export async function bytesOf(stream: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** Changes the size in the header at `offset`, and the checksum of the header. */
export function forgeSize(tar: Buffer, offset: number, size: number): Buffer {
  const forged = Buffer.from(tar);
  const header = forged.subarray(offset, offset + 512);
  header.write(`${size.toString(8).padStart(11, "0")} `, 124);
  header.write("        ", 148);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return forged;
}
