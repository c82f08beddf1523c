import { setImmediate as nextTurn } from "node:timers/promises";
import { dockerignoreRules, Failure } from "docker-over-ssh/builds";
import { Refusal } from "../../refusal.ts";

export const IGNORE_FILE = ".dockerignore";

/** Bytes of an ignore file, and of the path of a Dockerfile beside one: patterns may take long for long paths. */
const MAX_IGNORE_FILE = 64 * 1024;
const MAX_PATH = 256;
/** ms for which patterns are matched in one go, while other tenants wait */
const TURN = 10;

/**
 * Whether the engine removes the Dockerfile from the context after it has read it: the last line that matches it, or a folder above it, decides. Rejects
 * with a Refusal 400 for a file that it cannot read.
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
  let until = performance.now() + TURN;
  for (const line of text.split(/\r?\n/)) {
    if (performance.now() > until) {
      await nextTurn();
      signal.throwIfAborted();
      until = performance.now() + TURN;
    }
    // The result of the lines before, and this line
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
  return !rules.keeps(path);
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

/** The tenant's lines, and one that has the engine remove `name`; without a file of the tenant's, one that has it remove the ignore file as well. */
export function ignoreFileWith(ignoreFile: Buffer | undefined, name: string): Buffer {
  return Buffer.concat([ignoreFile ?? Buffer.from(IGNORE_FILE), Buffer.from(`\n${name}\n`)]);
}
