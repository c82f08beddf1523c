/**
 * Returns the path of an entry for the file system. Returns bytes for a path that is not ASCII, because names need not be UTF-8. @param
 * path as in ContextEntry
 */
export function nativePath(root: string, path: string): string | Buffer {
  const native = `${root}/${path}`;
  if (!/[\x80-\xff]/.test(path)) return native;
  return Buffer.concat([Buffer.from(`${root}/`), Buffer.from(path, "latin1")]);
}
