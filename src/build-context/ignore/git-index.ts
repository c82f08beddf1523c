/** Bytes of an entry before the object ID: times, device, inode, mode, owner, size. The flags follow the ID. */
const STAT_BYTES = 40;

/**
 * Returns the paths in a git index (gitformat-index), one character for each byte. Returns none for a file that is not an index of version
 * 2 to 4. For a split index, returns only the paths in this file.
 * @param idBytes bytes of an object ID: 20, or 32 in a repository with SHA-256
 */
export function pathsInGitIndex(index: Buffer, idBytes: number): string[] {
  if (index.length < 12 || index.toString("latin1", 0, 4) !== "DIRC") return [];
  const version = index.readUInt32BE(4);
  if (version < 2 || version > 4) return [];
  const count = index.readUInt32BE(8);
  const paths: string[] = [];
  let at = 12;
  let previous = "";
  while (paths.length < count) {
    const flagsAt = at + STAT_BYTES + idBytes;
    if (flagsAt + 2 > index.length) break;
    const isExtended = version >= 3 && (index.readUInt16BE(flagsAt) & 0x4000) !== 0;
    let nameAt = flagsAt + (isExtended ? 4 : 2);
    let prefix = "";
    if (version === 4) {
      const { value, next } = readOffset(index, nameAt);
      prefix = previous.slice(0, Math.max(0, previous.length - value));
      nameAt = next;
    }
    const end = index.indexOf(0, nameAt);
    if (end === -1) break;
    previous = prefix + index.toString("latin1", nameAt, end);
    paths.push(previous);
    at = version === 4 ? end + 1 : at + ((end - at + 8) & ~7);
  }
  return paths;
}

/** Reads a number in git's encoding of delta offsets: seven bits in each byte, and one is added for each byte that follows. */
function readOffset(buffer: Buffer, start: number): { value: number; next: number } {
  let at = start;
  let byte = buffer[at] ?? 0;
  let value = byte & 0x7f;
  while (byte & 0x80 && at < start + 4) {
    at += 1;
    byte = buffer[at] ?? 0;
    value = ((value + 1) << 7) | (byte & 0x7f);
  }
  return { value, next: at + 1 };
}
