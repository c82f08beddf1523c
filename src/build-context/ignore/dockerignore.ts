import { Failure } from "../../output/errors.ts";
import { shownPath } from "../paths.ts";
import { cleanPath, type DockerPattern, dockerPattern, trimSpace } from "./docker-pattern.ts";
import { type FolderRules, type FolderVerdict, INCLUDE_ALL } from "./ignore-rules.ts";
import { type Matched, PatternMatcher } from "./pattern-matcher.ts";

/**
 * Returns the rules of a .dockerignore. Throws a Failure `context-invalid` that names the line that BuildKit would reject.
 * @param file its name for messages
 */
export function dockerignoreRules(text: string, file: string): FolderRules {
  const patterns = readDockerignore(text, file);
  return patterns.length === 0 ? INCLUDE_ALL : new DockerignoreRules(new PatternMatcher(patterns));
}

/** Reads the lines as moby/patternmatcher/ignorefile does: ignores a byte order mark, comments and leading slashes. */
function readDockerignore(text: string, file: string): DockerPattern[] {
  return text
    .replace(/^\uFEFF/, "")
    .split(/\r?\n/)
    .flatMap((line, index) => {
      if (line.startsWith("#")) return [];
      try {
        return dockerPattern(withoutRoot(line)) ?? [];
      } catch (error) {
        if (!(error instanceof SyntaxError)) throw error;
        throw new Failure(
          "context-invalid",
          `${file}, line ${index + 1}: "${trimSpace(line)}" is not a valid pattern`,
          {
            expected: "a path, with *, **, ? and [a-z] as wildcards, and \\ before a literal character",
            hint: "Fix the line: a class needs its ], and ! needs a pattern.",
            cause: error,
          },
        );
      }
    });
}

/** Removes a leading slash: `/path` means the same as `path`. */
function withoutRoot(line: string): string {
  const trimmed = trimSpace(process.platform === "win32" ? line.replaceAll("\\", "/") : line);
  const sign = trimmed.startsWith("!") ? "!" : "";
  const pattern = trimSpace(trimmed.slice(sign.length));
  const cleaned = pattern && cleanPath(pattern);
  return sign + (cleaned.length > 1 ? cleaned.replace(/^\//, "") : cleaned);
}

/** The rules for one folder, with the patterns that have matched it or a folder above it. */
class DockerignoreRules implements FolderRules {
  readonly #matcher: PatternMatcher;
  readonly #matched: Matched | undefined;

  constructor(matcher: PatternMatcher, matched?: Matched) {
    this.#matcher = matcher;
    this.#matched = matched;
  }

  includes(path: string): boolean {
    return !this.#matcher.excludes(shownPath(path), this.#matched);
  }

  enter(path: string): FolderVerdict {
    const matched = this.#matcher.emptyMatched();
    const folder = shownPath(path);
    const isIncluded = !this.#matcher.excludes(folder, this.#matched, matched);
    if (!isIncluded && !this.#matcher.mayIncludeInside(folder)) return { isIncluded };
    return { isIncluded, inside: new DockerignoreRules(this.#matcher, matched) };
  }
}
