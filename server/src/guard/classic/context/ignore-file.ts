import { setImmediate as nextTurn } from "node:timers/promises";
import { dockerignoreRules, Failure } from "docker-over-ssh/builds";
import { Refusal } from "../../refusal.ts";

export const IGNORE_FILE = ".dockerignore";

/** Maximum bytes of an ignore file, and of the path of a Dockerfile in a context that has one. Matching patterns may take long for long paths. */
const MAX_IGNORE_FILE = 64 * 1024;
const MAX_PATH = 256;
/** ms for which patterns are matched in one turn, during which other tenants wait */
const TIME_SLICE = 10;

/**
 * Returns whether the engine removes the Dockerfile from the context after it has read it. The last line that matches it or a folder above it decides. Rejects
 * with a Refusal 400 for an unreadable ignore file.
 */
export async function isIgnored(ignoreFile: Buffer | undefined, path: string, signal: AbortSignal): Promise<boolean> {
  if (ignoreFile === undefined) return false;
  if (ignoreFile.length > MAX_IGNORE_FILE || path.length > MAX_PATH) {
    throw invalid(
      `${IGNORE_FILE}: it may have ${MAX_IGNORE_FILE} bytes here, and the path of the Dockerfile ${MAX_PATH}`,
    );
  }
  const text = ignoreFile.toString().replace(/^\uFEFF/, "");
  refuseInvalid(text);
  let isExcluded = false;
  let until = performance.now() + TIME_SLICE;
  for (const line of text.split(/\r?\n/)) {
    if (performance.now() > until) {
      await nextTurn();
      signal.throwIfAborted();
      until = performance.now() + TIME_SLICE;
    }
    // Applies this line to the result of the lines before it.
    isExcluded = excludes(`${isExcluded ? "**" : ""}\n${line}`, path);
  }
  return isExcluded;
}

function excludes(lines: string, path: string): boolean {
  let rules = dockerignoreRules(lines, IGNORE_FILE);
  for (const { index } of path.matchAll(/\//g)) {
    const { inside } = rules.enter(path.slice(0, index));
    if (inside === undefined) return true;
    rules = inside;
  }
  return !rules.includes(path);
}

function refuseInvalid(text: string): void {
  try {
    dockerignoreRules(text, IGNORE_FILE);
  } catch (error) {
    throw error instanceof Failure ? invalid(error.message, error) : error;
  }
}

function invalid(message: string, cause?: unknown): Refusal {
  return new Refusal("context.dockerignore", message, { statusCode: 400, cause });
}

/**
 * Returns the tenant's ignore file with a line that makes the engine remove `name`. If the tenant has none, another line makes the engine remove the ignore
 * file as well.
 */
export function ignoreFileWith(ignoreFile: Buffer | undefined, name: string): Buffer {
  return Buffer.concat([ignoreFile ?? Buffer.from(IGNORE_FILE), Buffer.from(`\n${name}\n`)]);
}
