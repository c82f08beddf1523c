import type { DockerPattern } from "./docker-pattern.ts";

/** For each pattern, 1 if it has matched a path or a folder above it */
export type Matched = Uint8Array;

/** Applies all patterns of an ignore file, like `MatchesUsingParentResults` of moby/patternmatcher. For a walk from the top. */
export class PatternMatcher {
  readonly #patterns: readonly DockerPattern[];
  readonly #exceptions: readonly DockerPattern[];

  constructor(patterns: readonly DockerPattern[]) {
    this.#patterns = patterns;
    this.#exceptions = patterns.filter(({ isException }) => isException);
  }

  /**
   * Returns whether the patterns exclude a path. A pattern that has matched a folder matches everything in it. A pattern that could not
   * change the decision for a folder is not tried on it, as in moby.
   * @param path relative to the context, Unicode
   * @param above the result for the folder that contains it; undefined at the top of the context
   * @param matched receives the result for this path, for use as `above`
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

  /**
   * Returns whether an exception may match something in an excluded folder. If not, the folder need not be read (fsutil, `filterFS.Walk`).
   */
  mayIncludeInside(folder: string): boolean {
    return this.#exceptions.some(({ text }) => {
      const start = text.replace(/\/\*\*$/, "").replace(/\/\*$/, "");
      return /[*[\]?^\\]/.test(start) || `${start}/`.startsWith(`${folder}/`);
    });
  }
}
