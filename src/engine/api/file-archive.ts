import { buffer } from "node:stream/consumers";
import { pack } from "tar-stream";

/**
 * Returns a tar of regular files, readable by everyone and owned by root, for `PUT /containers/ID/archive`. It is created in memory, for a
 * few small files.
 *
 * @param files absolute path -> content
 * @throws TypeError for a path that is not absolute
 */
export async function archiveOf(files: Record<string, string>): Promise<Buffer> {
  const tar = pack();
  for (const [path, content] of Object.entries(files)) {
    const name = path.slice(1);
    if (!path.startsWith("/") || name === "") throw new TypeError(`cannot put a file at ${JSON.stringify(path)}`);
    tar.entry({ name, mode: 0o444, mtime: new Date(0) }, content);
  }
  tar.finalize();
  return await buffer(tar);
}
