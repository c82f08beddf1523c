/** Bytes of an entry before its flags: times, device, inode, mode, owner, size; then the object ID follows. */
const STAT_BYTES = 40;

/**
 * Returns the paths in a git index (gitformat-index), one character for each byte. Empty for what is no index of versions 2 to 4. A split
 * index yields what is in this part of it.
 * @param idBytes 20, or 32 in a repository with SHA-256
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
    let kept = "";
    if (version === 4) {
      const { value, next } = readOffset(index, nameAt);
      kept = previous.slice(0, Math.max(0, previous.length - value));
      nameAt = next;
    }
    const end = index.indexOf(0, nameAt);
    if (end === -1) break;
    previous = kept + index.toString("latin1", nameAt, end);
    paths.push(previous);
    at = version === 4 ? end + 1 : at + ((end - at + 8) & ~7);
  }
  return paths;
}

/** Reads a number as git writes the offset of a delta: seven bits in a byte, one added for each byte that follows. */
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
