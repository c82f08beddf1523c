/** Names in the one header field that is used here (POSIX.1-1988 ustar, `name`), bytes. */
const NAME_LENGTH = 100;
const BLOCK = 512;

/**
 * A tar archive (POSIX ustar) of regular files that everyone may read, owned by root, for `PUT /containers/ID/archive`.
 * Meant for a handful of small files: it is made in memory.
 *
 * @param files Absolute path -> content.
 * @throws TypeError for a path that is not absolute or longer than 100 bytes.
 */
export function archiveOf(files: Record<string, string>): Buffer {
  const blocks = Object.entries(files).flatMap(([path, content]) => {
    const data = Buffer.from(content);
    return [header(path, data.length), data, Buffer.alloc(-data.length & (BLOCK - 1))];
  });
  return Buffer.concat([...blocks, Buffer.alloc(2 * BLOCK)]);
}

function header(path: string, size: number): Buffer {
  const name = path.slice(1);
  if (!path.startsWith("/") || name === "" || Buffer.byteLength(name) > NAME_LENGTH)
    throw new TypeError(`cannot put a file at ${JSON.stringify(path)}`);
  const block = Buffer.alloc(BLOCK);
  block.write(name, 0);
  block.write("0000444\0", 100); // mode
  block.write("0000000\0", 108); // uid
  block.write("0000000\0", 116); // gid
  block.write(`${size.toString(8).padStart(11, "0")}\0`, 124);
  block.write("00000000000\0", 136); // mtime
  block.write("        ", 148); // the checksum counts as spaces
  block.write("0", 156); // a regular file
  block.write("ustar\x0000", 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}
