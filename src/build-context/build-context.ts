/**
 * The files that a build may use. It comes from a folder, from a tarball or from the contexts that the remote side keeps, and it is read by
 * what sends it and by the engine's builder.
 */
export interface BuildContext extends AsyncDisposable {
  /**
   * All entries, without the root. A folder stands before what is in it, and names are in the order of their bytes, folder by folder:
   * the path is compared name by name, as BuildKit expects it (tonistiigi/fsutil, `ComparePath`). A hard link stands after its target.
   */
  readonly entries: readonly ContextEntry[];
  /**
   * Reads a file of {@link entries}: exactly `size` bytes. Throws a Failure `context-invalid` for a file that is gone, is shorter, or
   * has changed since it was listed.
   */
  read(file: ContextFile, signal?: AbortSignal): AsyncIterable<Uint8Array>;
}

export type ContextEntry = ContextFile | ContextFolder | ContextSymlink | ContextHardLink;

interface EntryBase {
  /**
   * Relative to the root, with `/` between names, without one at either end, and without `.` or `..`. One character for each byte
   * (latin1), because names need not be UTF-8; see paths.ts.
   */
  path: string;
  /** Permission bits, up to 0o7777 */
  mode: number;
  /** Microseconds since 1970. The owner is always 0:0. */
  mtime: number;
}

export interface ContextFile extends EntryBase {
  kind: "file";
  /** Bytes */
  size: number;
  /** Changes whenever the content may have changed: inode, size, mtime and ctime. Left out: nothing is known of earlier contents. */
  fingerprint?: string | undefined;
}

export interface ContextFolder extends EntryBase {
  kind: "folder";
}

export interface ContextSymlink extends EntryBase {
  kind: "symlink";
  /** As it is stored, one character for each byte */
  target: string;
}

export interface ContextHardLink extends EntryBase {
  kind: "hard-link";
  /** The path of the file, which stands before */
  target: string;
}
