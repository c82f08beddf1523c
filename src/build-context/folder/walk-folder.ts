import { accessSync, constants, lstatSync, readdirSync, readlinkSync, type Stats } from "node:fs";
import type { ContextEntry, ContextFolder } from "../build-context.ts";
import { type FolderRules, EXCLUDE_ALL } from "../ignore/ignore-rules.ts";
import { cannotRead, hasChanged } from "./context-failures.ts";
import { nativePath } from "../native-path.ts";
import { fingerprintOf, microseconds } from "./fingerprint.ts";
import { TimeSlices } from "./time-slices.ts";

export interface WalkedFolder {
  entries: ContextEntry[];
  /** The entries that no image can contain */
  skipped: SkippedEntry[];
  /** The entries that the rules exclude, but the builder needs. */
  onlyForBuilder: string[];
}

export interface SkippedEntry {
  /** As in ContextEntry */
  path: string;
  kind: "socket" | "fifo" | "device";
}

export interface WalkOptions {
  rules: FolderRules;
  /** Paths of entries that are included even if the rules exclude them */
  builderFiles: readonly string[];
  signal?: AbortSignal | undefined;
}

/**
 * Lists the entries of a folder that belong to a context, in the order of `comparePaths`. Does not follow links. Does not read an excluded
 * folder unless the rules may include something in it. Throws a Failure `context-invalid` for entries that this user may not read.
 * @param root an absolute path without symbolic links
 */
export async function walkFolder(root: string, { rules, builderFiles, signal }: WalkOptions): Promise<WalkedFolder> {
  const walk = new Walk(root, builderFiles, signal);
  await walk.folder("", rules);
  return walk.walked;
}

const USER = process.getuid?.();

class Walk {
  readonly walked: WalkedFolder = { entries: [], skipped: [], onlyForBuilder: [] };
  readonly #root: string;
  readonly #builderFiles: ReadonlySet<string>;
  readonly #builderFolders: ReadonlySet<string>;
  readonly #signal: AbortSignal | undefined;
  readonly #slices = new TimeSlices();
  /** The first path of each file that has several names, by device and inode */
  readonly #linked = new Map<string, string>();
  /** The excluded folders above the current path. They become part of the context as soon as an entry in them does. */
  #pending: ContextFolder[] = [];

  constructor(root: string, builderFiles: readonly string[], signal: AbortSignal | undefined) {
    this.#root = root;
    this.#builderFiles = new Set(builderFiles);
    this.#builderFolders = new Set(builderFiles.flatMap(foldersAbove));
    this.#signal = signal;
  }

  /** @param path the path of the folder, "" for the root */
  async folder(path: string, rules: FolderRules): Promise<void> {
    for (const name of this.#names(path)) {
      const pause = this.#slices.pause();
      if (pause) await pause;
      this.#signal?.throwIfAborted();
      const child = path === "" ? name : `${path}/${name}`;
      const native = nativePath(this.#root, child);
      const stat = this.#stat(child, native);
      if (stat?.isDirectory()) await this.#enter(child, native, stat, rules);
      else if (stat) this.#other(child, native, stat, rules);
    }
  }

  /** Returns the names in a folder, in the order of their bytes. */
  #names(path: string): string[] {
    try {
      return readdirSync(path === "" ? this.#root : nativePath(this.#root, path), "latin1").toSorted(byCodeUnits);
    } catch (error) {
      throw cannotRead(path === "" ? "the folder of the build context" : path, error);
    }
  }

  /** Returns undefined for an entry that was removed after its folder was read. */
  #stat(path: string, native: string | Buffer): Stats | undefined {
    try {
      return lstatSync(native, { throwIfNoEntry: false });
    } catch (error) {
      throw cannotRead(path, error);
    }
  }

  async #enter(path: string, native: string | Buffer, stat: Stats, rules: FolderRules): Promise<void> {
    const { isIncluded, inside = this.#builderFolders.has(path) ? EXCLUDE_ALL : undefined } = rules.enter(path);
    if (!isIncluded && !inside) return;
    const entry: ContextFolder = { kind: "folder", path, mode: modeOf(stat), mtime: microseconds(stat.mtimeMs) };
    if (isIncluded) this.#add(entry);
    else this.#pending.push(entry);
    if (inside) await this.#readFolder(path, inside, isIncluded);
    if (this.#pending.at(-1) === entry) this.#pending.pop();
    const after = this.#stat(path, native);
    if (!after?.isDirectory() || after.ino !== stat.ino || after.dev !== stat.dev)
      throw hasChanged(path, "was replaced");
  }

  /** Reads a folder. An excluded folder that cannot be read counts as empty, as for BuildKit. */
  async #readFolder(path: string, rules: FolderRules, isIncluded: boolean): Promise<void> {
    if (!isIncluded && !this.#builderFolders.has(path)) {
      try {
        accessSync(nativePath(this.#root, path), constants.R_OK | constants.X_OK);
      } catch {
        return;
      }
    }
    await this.folder(path, rules);
  }

  #other(path: string, native: string | Buffer, stat: Stats, rules: FolderRules): void {
    if (!rules.includes(path)) {
      if (!this.#builderFiles.has(path)) return;
      this.walked.onlyForBuilder.push(path);
    }
    const base = { path, mode: modeOf(stat), mtime: microseconds(stat.mtimeMs) };
    if (stat.isFile()) {
      const target = stat.nlink > 1 ? this.#linkTarget(path, native) : undefined;
      if (target !== undefined) return this.#add({ kind: "hard-link", ...base, target });
      checkReadable(path, native, stat);
      this.#add({ kind: "file", ...base, size: stat.size, fingerprint: fingerprintOf(stat) });
    } else if (stat.isSymbolicLink()) {
      this.#add({ kind: "symlink", ...base, target: this.#readLink(path, native) });
    } else {
      this.walked.skipped.push({ path, kind: stat.isSocket() ? "socket" : stat.isFIFO() ? "fifo" : "device" });
    }
  }

  /**
   * Returns the first path of a file with several names; undefined for that path itself. Inodes of some file systems need more than the 53
   * bits of a number.
   */
  #linkTarget(path: string, native: string | Buffer): string | undefined {
    const stat = lstatSync(native, { bigint: true, throwIfNoEntry: false });
    const key = `${stat?.dev}-${stat?.ino}`;
    const first = this.#linked.get(key);
    if (first === undefined) this.#linked.set(key, path);
    return first;
  }

  #readLink(path: string, native: string | Buffer): string {
    try {
      return readlinkSync(native, "latin1");
    } catch {
      throw hasChanged(path, "was replaced");
    }
  }

  #add(entry: ContextEntry): void {
    if (this.#pending.length > 0) {
      this.walked.entries.push(...this.#pending);
      this.#pending = [];
    }
    this.walked.entries.push(entry);
  }
}

/** Returns the permission bits. Windows has none: every file is executable, as for Docker (fsutil, `mkstat`). */
function modeOf({ mode }: Stats): number {
  return process.platform === "win32" ? 0o755 : mode & 0o7777;
}

/**
 * Reports a file without read permission at once instead of after minutes of transfer. Most files belong to this user and need no system
 * call.
 */
function checkReadable(path: string, native: string | Buffer, { uid, mode }: Stats): void {
  if (USER === undefined || USER === 0 || (USER === uid && mode & 0o400)) return;
  try {
    accessSync(native, constants.R_OK);
  } catch (error) {
    throw cannotRead(path, error);
  }
}

function foldersAbove(path: string): string[] {
  const names = path.split("/").slice(0, -1);
  return names.map((_, index) => names.slice(0, index + 1).join("/"));
}

function byCodeUnits(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
