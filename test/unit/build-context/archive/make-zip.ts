import { crc32, deflateRawSync } from "node:zlib";

/** An entry of a test zip. */
export interface ZipEntry {
  name: string;
  content?: string | Buffer;
  /** Includes the file type, as in stat(2). If undefined, the zip is from a system without modes */
  mode?: number;
  isStored?: boolean;
  /** The size in bytes that the headers claim, instead of the real one */
  claimedSize?: number;
  claimedCrc?: number;
  isEncrypted?: boolean;
}

/** Creates a zip (APPNOTE.TXT 4.3.6): local headers with their contents, the central directory, and its end. */
export function makeZip(entries: readonly ZipEntry[]): Buffer {
  const locals: Buffer[] = [];
  const central: Buffer[] = [];
  let offset = 0;
  for (const entry of entries) {
    const name = Buffer.from(entry.name);
    const plain = Buffer.from(entry.content ?? "");
    const packed = entry.isStored ? plain : deflateRawSync(plain);
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0); // version needed
    common.writeUInt16LE((entry.isEncrypted ? 1 : 0) | 0x800, 2); // names are UTF-8
    common.writeUInt16LE(entry.isStored ? 0 : 8, 4);
    common.writeUInt16LE(0, 6); // 00:00:00
    common.writeUInt16LE((46 << 9) | (11 << 5) | 29, 8); // 2026-11-29
    common.writeUInt32LE(entry.claimedCrc ?? crc32(plain), 10);
    common.writeUInt32LE(packed.length, 14);
    common.writeUInt32LE(entry.claimedSize ?? plain.length, 18);
    common.writeUInt16LE(name.length, 22);
    const local = Buffer.concat([Buffer.from("PK\u0003\u0004", "latin1"), common, name, packed]);
    const header = Buffer.alloc(46);
    header.write("PK\u0001\u0002", "latin1");
    header.writeUInt16LE(((entry.mode === undefined ? 0 : 3) << 8) | 20, 4); // created on Unix, or on DOS
    common.copy(header, 6);
    header.writeUInt32LE(((entry.mode ?? 0) << 16) >>> 0, 38);
    header.writeUInt32LE(offset, 42);
    locals.push(local);
    central.push(header, name);
    offset += local.length;
  }
  const directory = Buffer.concat(central);
  const end = Buffer.alloc(22);
  end.write("PK\u0005\u0006", "latin1");
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...locals, directory, end]);
}
