/**
 * The files that a build may use. It is opened from a folder, from a tarball, or from the stored contexts on the side that builds. The sender
 * of contexts and the engine's builder read it.
 */
export interface BuildContext extends AsyncDisposable {
  /**
   * All entries, without the root. A folder precedes its content, and the names in a folder are in the order of their bytes: paths are
   * compared name by name, as BuildKit expects (tonistiigi/fsutil, `ComparePath`). A hard link follows its target.
   */
  readonly entries: readonly ContextEntry[];
  /**
   * Reads a file of {@link entries}: exactly `size` bytes. Throws a Failure `context-invalid` for a file that is missing, is shorter, or
   * has changed since it was listed.
   */
  read(file: ContextFile, signal?: AbortSignal): AsyncIterable<Uint8Array>;
}

export type ContextEntry = ContextFile | ContextFolder | ContextSymlink | ContextHardLink;

interface EntryBase {
  /**
   * Relative to the root, with `/` between names but not at either end, and without `.` or `..`. One character for each byte (latin1),
   * because names need not be UTF-8 (paths.ts).
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
  /** Changes whenever the content may have changed: inode, size, mtime and ctime. Undefined if a change cannot be detected. */
  fingerprint?: string | undefined;
}

export interface ContextFolder extends EntryBase {
  kind: "folder";
}

export interface ContextSymlink extends EntryBase {
  kind: "symlink";
  /** Verbatim, one character for each byte */
  target: string;
}

export interface ContextHardLink extends EntryBase {
  kind: "hard-link";
  /** The path of the file, an earlier entry */
  target: string;
}
