import { dockerignoreRules, Failure } from "docker-over-ssh/builds";
import { Refusal } from "../../refusal.ts";

export const IGNORE_FILE = ".dockerignore";

/** Bytes of an ignore file, and of the path of a Dockerfile beside one: patterns may take long for long paths. */
const MAX_IGNORE_FILE = 64 * 1024;
const MAX_PATH = 256;

/** Whether the engine removes the Dockerfile from the context after it has read it. Throws a Refusal 400 for a file that it cannot read. */
export function isIgnored(ignoreFile: Buffer | undefined, path: string): boolean {
  if (ignoreFile === undefined) return false;
  if (ignoreFile.length > MAX_IGNORE_FILE || path.length > MAX_PATH) {
    const message = `it may have ${MAX_IGNORE_FILE} bytes here, and the path of the Dockerfile ${MAX_PATH}`;
    throw new Refusal("context.dockerignore", `${IGNORE_FILE}: ${message}`, { statusCode: 400 });
  }
  try {
    let rules = dockerignoreRules(ignoreFile.toString(), IGNORE_FILE);
    for (const [index] of [...path.matchAll(/\//g)].entries()) {
      const folder = path
        .split("/")
        .slice(0, index + 1)
        .join("/");
      const { inside } = rules.enter(folder);
      if (inside === undefined) return true;
      rules = inside;
    }
    return !rules.keeps(path);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    throw new Refusal("context.dockerignore", error.message, { statusCode: 400, cause: error });
  }
}

/** The tenant's lines, and one that has the engine remove `name`; without a file of the tenant's, one that has it remove the ignore file as well. */
export function ignoreFileWith(ignoreFile: Buffer | undefined, name: string): Buffer {
  return Buffer.concat([ignoreFile ?? Buffer.from(IGNORE_FILE), Buffer.from(`\n${name}\n`)]);
}
