import type { DockerPattern } from "./docker-pattern.ts";

/** For each pattern, whether it has matched a path or a folder above it */
export type Matched = Uint8Array;

/** The patterns of an ignore file together: `MatchesUsingParentResults` of moby/patternmatcher, for a walk from the top. */
export class PatternMatcher {
  readonly #patterns: readonly DockerPattern[];
  readonly #exceptions: readonly DockerPattern[];

  constructor(patterns: readonly DockerPattern[]) {
    this.#patterns = patterns;
    this.#exceptions = patterns.filter(({ isException }) => isException);
  }

  /**
   * Whether the patterns leave a path out. A pattern that has matched a folder matches all that is in it; one that could change nothing for
   * the folder has not been tried on it, as in moby.
   * @param path relative to the context, Unicode
   * @param above what has matched the folder that it is in; undefined: the context itself
   * @param matched gets what has matched this path, for what is in it
   */
  excludes(path: string, above: Matched | undefined, matched?: Matched): boolean {
    let isExcluded = false;
    for (const [index, pattern] of this.#patterns.entries()) {
      const isMatch = above?.[index] === 1 || (pattern.isException === isExcluded && pattern.matches(path));
      if (!isMatch) continue;
      if (matched) matched[index] = 1;
      isExcluded = !pattern.isException;
    }
    return isExcluded;
  }

  emptyMatched(): Matched {
    return new Uint8Array(this.#patterns.length);
  }

  /** Whether an exception may match something in an excluded folder. Otherwise the folder need not be read (fsutil, `filterFS.Walk`). */
  mayKeepInside(folder: string): boolean {
    return this.#exceptions.some(({ text }) => {
      const start = text.replace(/\/\*\*$/, "").replace(/\/\*$/, "");
      return /[*[\]?^\\]/.test(start) || `${start}/`.startsWith(`${folder}/`);
    });
  }
}
