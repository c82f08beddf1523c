import type { ContextEntry } from "../build-context.ts";
import { checkPath, checkTarget, ContextTotals, invalidEntry } from "../entry-checks.ts";
import type { ContextLimits } from "../limits.ts";
import { comparePaths } from "../paths.ts";
import type { TarRecord } from "./tar-records.ts";

/** The file, folder or link at a path of the tree. Hard links share one node. */
type Node = { mode: number; mtime: number } & (
  | { kind: "folder"; isImplied?: boolean }
  | { kind: "symlink"; target: string }
  | { kind: "file"; size: number; offset: number }
);

export interface TarTreeOptions {
  limits: ContextLimits;
  /** The number of names to remove from the beginning of each path */
  strip: number;
  /** Whether a leading slash means the root of the tree, as for Docker. If false, such paths are refused. */
  takesAbsolute: boolean;
  /** Whether the last of several files with the same path counts, as for tar and Docker. If false, such files are refused. */
  lastWins: boolean;
}

/** The mode of a folder that has no entry of its own. */
const FOLDER_MODE = 0o755;
/** The maximum number of links to follow for one link (MAXSYMLINKS of Linux). */
const MAX_LINKS = 40;
/**
 * The maximum cost of following all links of a tree, which is about a second. Looking up a path costs its length in characters, and each
 * name costs NAME_WORK. 200,000 links of ten names cost 130 million. Links of 2,000 names that lead through each other would take days.
 */
const MAX_WORK = 500_000_000;
const NAME_WORK = 16;

/** Collects the entries of a tar, which are hostile input. All methods throw a `context-invalid` Failure that names the entry. */
export class TarTree {
  readonly #nodes = new Map<string, Node>();
  readonly #totals: ContextTotals;
  readonly #options: TarTreeOptions;
  /** The cost of following links so far */
  #work = 0;

  constructor(options: TarTreeOptions) {
    this.#options = options;
    this.#totals = new ContextTotals(options.limits);
  }

  add(record: TarRecord): void {
    const path = this.#pathOf(record.name);
    if (path === undefined) return;
    checkPath(path, this.#options.limits);
    this.#addFoldersAbove(path, record.mtime);
    const node = this.#nodeOf(path, record);
    const before = this.#nodes.get(path);
    if (before !== undefined) this.#refuseSecond(path, before, node);
    this.#count(path, node);
    this.#nodes.set(path, node);
  }

  /** Refuses symbolic links that lead out of the tree, directly or through other links. */
  refuseLinksOut(): void {
    for (const [path, node] of this.#nodes) {
      if (node.kind === "symlink" && this.#leadsOut(path, node.target)) {
        throw invalidEntry(path, "a link that leads out of it", { expected: "links that stay in the context" });
      }
    }
  }

  /**
   * Returns the entries in the order of a context, and the offsets of the files' contents in the tar. The first name of a file becomes the
   * file, the others become hard links.
   */
  entries(): { entries: ContextEntry[]; offsets: Map<string, number> } {
    const offsets = new Map<string, number>();
    const first = new Map<Node, string>();
    const sorted = [...this.#nodes].toSorted(([one], [other]) => comparePaths(one, other));
    const entries = sorted.map(([path, node]): ContextEntry => {
      const { mode, mtime } = node;
      if (node.kind === "folder") return { kind: "folder", path, mode, mtime };
      if (node.kind === "symlink") return { kind: "symlink", path, mode, mtime, target: node.target };
      const target = first.get(node);
      if (target !== undefined) return { kind: "hard-link", path, mode, mtime, target };
      first.set(node, path);
      offsets.set(path, node.offset);
      return { kind: "file", path, mode, mtime, size: node.size };
    });
    return { entries, offsets };
  }

  /**
   * Normalises a path: removes `./`, a leading slash, which means the root as for Docker, and the names to strip. Returns undefined for the
   * root and for a path of which nothing is left.
   */
  #pathOf(name: string): string | undefined {
    const names = name.split("/").filter((part) => part !== "" && part !== ".");
    const isAbsolute = name.startsWith("/") && !this.#options.takesAbsolute;
    if (names.includes("..") || isAbsolute) throw invalidEntry(name, "which leads out of it");
    return names.slice(this.#options.strip).join("/") || undefined;
  }

  #nodeOf(path: string, { kind, target, mode, mtime, size, offset }: TarRecord): Node {
    if (kind === "file") return { kind, mode, mtime, size, offset };
    if (kind === "folder") return { kind, mode, mtime };
    if (kind === "symlink") {
      checkTarget(path, target);
      return { kind, mode: 0o777, mtime, target };
    }
    const node = this.#nodes.get(this.#pathOf(target) ?? "");
    if (node === undefined || node.kind === "folder") throw invalidEntry(path, "a hard link to no file before it");
    return node;
  }

  #addFoldersAbove(path: string, mtime: number): void {
    for (let at = path.indexOf("/"); at >= 0; at = path.indexOf("/", at + 1)) {
      const folder = path.slice(0, at);
      const node = this.#nodes.get(folder);
      if (node === undefined) {
        const implied: Node = { kind: "folder", mode: FOLDER_MODE, mtime, isImplied: true };
        this.#count(folder, implied);
        this.#nodes.set(folder, implied);
      } else if (node.kind !== "folder") {
        throw invalidEntry(path, `which lies below a ${node.kind === "file" ? "file" : "link"}`);
      }
    }
  }

  #refuseSecond(path: string, before: Node, node: Node): void {
    if (before.kind === "folder" && node.kind === "folder") return;
    if (before.kind === "folder" || node.kind === "folder") throw invalidEntry(path, "which is a folder and no folder");
    if (!this.#options.lastWins) throw invalidEntry(path, "which it has twice");
  }

  #count(path: string, node: Node): void {
    if (node.kind === "folder") this.#totals.add({ path, ...node, kind: "folder" });
    else this.#totals.add(node.kind === "file" ? { path, ...node } : { path, ...node });
  }

  #leadsOut(path: string, target: string): boolean {
    if (target.startsWith("/")) return true;
    const at = path.split("/").slice(0, -1);
    /** The names that are still to be followed, in reverse order */
    const rest = target.split("/").toReversed();
    let links = 0;
    for (let name = rest.pop(); name !== undefined; name = rest.pop()) {
      this.#work += NAME_WORK;
      if (this.#work > MAX_WORK) throw invalidEntry(path, "a link that leads through too many others");
      if (name === "" || name === ".") continue;
      if (name === "..") {
        if (at.pop() === undefined) return true;
        continue;
      }
      at.push(name);
      const reached = at.join("/");
      this.#work += reached.length;
      const node = this.#nodes.get(reached);
      if (node?.kind !== "symlink") continue;
      if (node.target.startsWith("/")) return true;
      links += 1;
      if (links > MAX_LINKS) return false; // it leads nowhere
      at.pop();
      rest.push(...node.target.split("/").toReversed());
    }
    return false;
  }
}
