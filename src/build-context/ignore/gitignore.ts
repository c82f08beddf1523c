import { join, relative, sep } from "node:path";
import ignore, { type Ignore } from "ignore";
import { nativePath } from "../native-path.ts";
import { toEntryPath, shownPath } from "../paths.ts";
import { findGitRepository, GitRepository, isGitRepository } from "./git-repository.ts";
import { linesForFolder } from "./gitignore-lines.ts";
import type { FolderRules, FolderVerdict } from "./ignore-rules.ts";
import { readRegularFile } from "./read-regular-file.ts";

/**
 * The rules of git for a context (gitignore(5)): the `.gitignore` files in it and above it up to the top of the repository, and
 * `.git/info/exclude`. Tracked files are included even if a rule matches them. `.git` itself is excluded. A nested repository has its own
 * rules, as in git. The user's `core.excludesFile` is not read: the files of a build must not depend on who starts it.
 */
export class GitRules {
  readonly root: FolderRules;
  readonly hasRepository: boolean;
  /** The first ignore file that was found, relative to the context. Complete after the walk. */
  firstFile: string | undefined;

  /** @param context the absolute path of the context */
  constructor(context: string) {
    const found = (file: string): void => {
      this.firstFile ??= relative(context, file).split(sep).join("/");
    };
    const top = findGitRepository(context);
    const root =
      (top !== undefined && rulesFromAbove(top, context, found)) ||
      GitFolder.top({ top: context, toRepository: (path) => path, found });
    this.root = root;
    this.hasRepository = root.isOfRepository;
  }
}

/**
 * Returns the rules of a repository for a folder in it. Returns undefined if the repository ignores that folder: its rules do not apply to
 * the content.
 */
function rulesFromAbove(top: string, context: string, found: Scope["found"]): GitFolder | undefined {
  const names = relative(top, context).split(sep).filter(Boolean).map(toEntryPath);
  const above = names.map((name) => `${name}/`).join("");
  let rules = GitFolder.top({ top, repository: new GitRepository(top), toRepository: (path) => above + path, found });
  for (const index of names.keys()) {
    const folder = names.slice(0, index + 1).join("/");
    if (rules.ignores(`${folder}/`)) return;
    rules = rules.below(folder);
  }
  return rules;
}

/** A repository, or a context outside of any repository. */
interface Scope {
  /** Its absolute path */
  top: string;
  repository?: GitRepository;
  /** Converts a path in the context to a path in the repository. */
  toRepository: (path: string) => string;
  found: (file: string) => void;
}

/**
 * The rules for the content of one folder. Paths and patterns have one character for each byte, because `?` matches a byte in git. The
 * paths of rules are relative to the top of the repository.
 */
class GitFolder implements FolderRules {
  readonly #scope: Scope;
  readonly #lines: readonly string[];
  readonly #rules: Ignore;

  constructor(scope: Scope, lines: readonly string[], rules = ignore({ ignorecase: IGNORES_CASE }).add(lines)) {
    this.#scope = scope;
    this.#lines = lines;
    this.#rules = rules;
  }

  static top(scope: Scope): GitFolder {
    const exclude = scope.repository?.exclude() ?? "";
    if (linesForFolder(exclude, "").length > 0) scope.found(join(scope.top, ".git/info/exclude"));
    return new GitFolder(scope, linesForFolder(exclude, "")).below("");
  }

  get isOfRepository(): boolean {
    return this.#scope.repository !== undefined;
  }

  /**
   * Returns the rules for a folder in this one, including those of its `.gitignore`. @param folder the path in the repository, "" for its
   * top
   */
  below(folder: string): GitFolder {
    const file = folder === "" ? ".gitignore" : `${folder}/.gitignore`;
    const text = readRegularFile(nativePath(this.#scope.top, file))?.toString("latin1");
    if (text === undefined) return new GitFolder(this.#scope, this.#lines, this.#rules);
    this.#scope.found(join(this.#scope.top, shownPath(file)));
    return new GitFolder(this.#scope, [...this.#lines, ...linesForFolder(text, folder)]);
  }

  /** @param path in the repository; a folder's ends with a slash */
  ignores(path: string): boolean {
    return this.#lines.length > 0 && this.#rules.ignores(path);
  }

  includes(path: string): boolean {
    const inRepository = this.#scope.toRepository(path);
    return !isGitFolder(path) && (!this.ignores(inRepository) || this.#tracks(inRepository));
  }

  enter(path: string): FolderVerdict {
    if (isGitFolder(path)) return { isIncluded: false };
    const folder = this.#scope.toRepository(path);
    // In an ignored folder, only tracked files are included. Its own .gitignore has no effect, as in git.
    if (this.ignores(`${folder}/`)) return { isIncluded: false, inside: this.#tracks(folder) ? this : undefined };
    const native = join(this.#scope.top, shownPath(folder));
    if (!isGitRepository(native)) return { isIncluded: true, inside: this.below(folder) };
    const toRepository = (inContext: string): string => inContext.slice(path.length + 1);
    const scope = { ...this.#scope, top: native, repository: new GitRepository(native), toRepository };
    return { isIncluded: true, inside: GitFolder.top(scope) };
  }

  #tracks(path: string): boolean {
    return this.#scope.repository?.tracks(path) ?? false;
  }
}

/** The default of git's `core.ignorecase` */
const IGNORES_CASE = process.platform === "win32" || process.platform === "darwin";

/** Returns whether a path is a `.git` at any depth. In a submodule and a second work tree, it is a file. */
function isGitFolder(path: string): boolean {
  return path === ".git" || path.endsWith("/.git");
}
