/** An entry of a tar archive. */
export type TarEntry =
  | { path: string; type: "folder"; mode?: number; mtime?: number }
  | { path: string; type: "link"; target: string }
  | {
      path: string;
      type: "file";
      mode?: number;
      /** Seconds since the epoch. */
      mtime?: number;
      size: number;
      /** Returns `size` bytes. Called once, when the entry is written. */
      content: () => Iterable<Uint8Array>;
    };

const block = 512;
/** The time of each entry. It is fixed, so that the same content gives the same archive and the same layer. */
const defaultMtime = 1_600_000_000;

/** Writes a POSIX ustar archive: pax(1), "ustar Interchange Format". Paths of up to 100 bytes. */
export function* tar(entries: Iterable<TarEntry>): Generator<Uint8Array> {
  for (const entry of entries) {
    yield header(entry);
    if (entry.type !== "file") continue;
    yield* entry.content();
    yield Buffer.alloc(padding(entry.size));
  }
  yield Buffer.alloc(2 * block);
}

/** Returns the size of the archive that {@link tar} writes, which is needed to nest it in another archive. */
export function tarSize(entries: Iterable<TarEntry>): number {
  let size = 2 * block;
  for (const entry of entries) {
    size += block + (entry.type === "file" ? entry.size + padding(entry.size) : 0);
  }
  return size;
}

/** Returns the entry of a file in memory. */
export function fileEntry(path: string, content: string | Uint8Array, mode = 0o644): TarEntry {
  const data = Buffer.from(content);
  return { path, type: "file", mode, size: data.length, content: () => [data] };
}

function padding(size: number): number {
  return (block - (size % block)) % block;
}

function header(entry: TarEntry): Uint8Array {
  const name = entry.type === "folder" ? `${entry.path}/` : entry.path;
  if (Buffer.byteLength(name) > 100) throw new Error(`the path is too long for this tar: ${name}`);
  const bytes = Buffer.alloc(block);
  const text = (offset: number, value: string) => bytes.write(value, offset);
  const octal = (offset: number, digits: number, value: number) =>
    text(offset, value.toString(8).padStart(digits, "0"));
  const isLink = entry.type === "link";
  text(0, name);
  octal(100, 7, isLink ? 0o777 : (entry.mode ?? (entry.type === "folder" ? 0o755 : 0o644)));
  octal(108, 7, 0);
  octal(116, 7, 0);
  octal(124, 11, entry.type === "file" ? entry.size : 0);
  octal(136, 11, isLink ? defaultMtime : (entry.mtime ?? defaultMtime));
  text(148, " ".repeat(8));
  text(156, { file: "0", link: "2", folder: "5" }[entry.type]);
  if (isLink) text(157, entry.target);
  text(257, "ustar");
  text(263, "00");
  // The checksum counts its own eight bytes as spaces.
  const sum = bytes.reduce((total, byte) => total + byte, 0);
  octal(148, 6, sum);
  bytes[154] = 0;
  return bytes;
}
