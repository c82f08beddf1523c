import { dirname, join, resolve } from "node:path";
import { pathsInGitIndex } from "./git-index.ts";
import { readRegularFile, statOrNone } from "./read-regular-file.ts";

/** Returns the nearest folder with a `.git`: this one, or one above it. */
export function findGitRepository(folder: string): string | undefined {
  if (isGitRepository(folder)) return folder;
  const above = dirname(folder);
  return above === folder ? undefined : findGitRepository(above);
}

export function isGitRepository(folder: string): boolean {
  return statOrNone(join(folder, ".git")) !== undefined;
}

/** A git repository, read without git: neither git itself nor its configuration is used, which may name programs to run. */
export class GitRepository {
  readonly folder: string;
  #tracked: ReadonlySet<string> | undefined;

  constructor(folder: string) {
    this.folder = folder;
  }

  /** The text of `.git/info/exclude`, one character for each byte */
  exclude(): string {
    return readRegularFile(join(this.#commonFolder(), "info", "exclude"))?.toString("latin1") ?? "";
  }

  /**
   * Returns whether git tracks this path or something in it. Ignore rules do not apply to tracked files. @param path one character for each
   * byte
   */
  tracks(path: string): boolean {
    this.#tracked ??= this.#readTracked();
    return this.#tracked.has(path);
  }

  #readTracked(): Set<string> {
    const index = readRegularFile(join(this.#gitFolder(), "index"));
    if (!index) return new Set();
    const config = readRegularFile(join(this.#commonFolder(), "config"))?.toString() ?? "";
    const tracked = new Set<string>();
    for (const path of pathsInGitIndex(index, /^\s*objectformat\s*=\s*sha256/im.test(config) ? 32 : 20)) {
      for (let end = path.length; end > 0 && !tracked.has(path.slice(0, end)); end = path.lastIndexOf("/", end - 1)) {
        tracked.add(path.slice(0, end));
      }
    }
    return tracked;
  }

  /** Returns the path of the git folder. In a submodule or a second work tree, `.git` is a file that contains this path. */
  #gitFolder(): string {
    const link = readRegularFile(join(this.folder, ".git"))?.toString();
    const [, target] = /^gitdir: (.+)/.exec(link ?? "") ?? [];
    return target === undefined ? join(this.folder, ".git") : resolve(this.folder, target.trimEnd());
  }

  /** Returns the path of the folder that all work trees share. */
  #commonFolder(): string {
    const folder = this.#gitFolder();
    const common = readRegularFile(join(folder, "commondir"))?.toString().trimEnd();
    return common === undefined ? folder : resolve(folder, common);
  }
}
