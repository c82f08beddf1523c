import { readFile, rm, stat, writeFile } from "node:fs/promises";
import { setTimeout as wait } from "node:timers/promises";
import { isLeftBy, isRunId, type RunId } from "../engine/run-id.ts";
import { Failure } from "../output/errors.ts";

/** ms between two looks at a lock that another run holds. */
const LOOK_EVERY = 20;
/** ms for it to be let go: what is done under a lock takes milliseconds. */
const PATIENCE = 30_000;
/** ms after which a lock that names no run is taken for the rest of one that was killed while it wrote its name. */
const NAMELESS_AGE = 5000;

/** Does something that no other run does to `path` at the same time. The lock of a run that was killed is taken over. */
export async function withLock<T>(path: string, run: RunId, use: () => Promise<T>): Promise<T> {
  const lock = `${path}.lock`;
  const until = Date.now() + PATIENCE;
  while (!(await take(lock, run))) {
    if (await isLeft(lock)) await rm(lock, { force: true });
    else if (Date.now() > until) throw held(lock);
    else await wait(LOOK_EVERY);
  }
  try {
    return await use();
  } finally {
    await rm(lock, { force: true });
  }
}

async function take(lock: string, run: RunId): Promise<boolean> {
  try {
    await writeFile(lock, run, { flag: "wx" });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

async function isLeft(lock: string): Promise<boolean> {
  try {
    const run = await readFile(lock, "utf8");
    return isRunId(run) ? isLeftBy([run]) : Date.now() - (await stat(lock)).mtimeMs > NAMELESS_AGE;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false; // let go in this moment
    throw error;
  }
}

function held(lock: string): Failure {
  return new Failure("transfer-failed", `another run has held ${lock} for ${PATIENCE / 1000} s`, {
    expected: "it to be let go after some milliseconds",
    hint: "If nothing writes there any more, remove that file and run the same command again.",
  });
}
