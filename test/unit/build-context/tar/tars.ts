import { writeFile } from "node:fs/promises";
import { encodeHeader, encodePaxRecords, padding, TYPE } from "../../../../src/build-context/tar/tar-header.ts";

export interface TarEntry {
  name: string;
  type?: string;
  content?: string | Buffer;
  target?: string;
  mode?: number;
  mtime?: number;
  pax?: Record<string, string>;
  /** The size in the header, if it differs from that of the content */
  size?: number;
}

/** Returns the bytes of a tar with any entries, including those that no program writes. */
export function tarOf(entries: readonly TarEntry[], { end = true } = {}): Buffer {
  const parts = entries.flatMap(
    ({ name, type = TYPE.file, content = "", target = "", mode = 0o644, mtime = 1e9, pax, size }) => {
      const body = Buffer.from(content);
      const header = encodeHeader({ type, name, target, mode, size: size ?? body.length, mtime });
      const before = pax === undefined ? [] : extension(TYPE.pax, encodePaxRecords(pax));
      return [...before, header, body, padding(body.length)];
    },
  );
  return Buffer.concat([...parts, Buffer.alloc(end ? 1024 : 0)]);
}

export function extension(type: string, body: Buffer): Buffer[] {
  return [encodeHeader({ type, name: "x", mode: 0, size: body.length, mtime: 0 }), body, padding(body.length)];
}

export async function writeTarFile(path: string, entries: readonly TarEntry[] | Buffer): Promise<string> {
  await writeFile(path, Buffer.isBuffer(entries) ? entries : tarOf(entries));
  return path;
}
