import { setTimeout as wait } from "node:timers/promises";
import { messageOf, type Engine } from "docker-over-ssh/builds";
import type { JobLog } from "./job-log.ts";
import { removeUntagged } from "./step-images.ts";

export type PurgeEngine = Pick<Engine, "inspectImage" | "listImageIds" | "removeReference" | "tagImage">;

/** Maximum ms of a purge: an engine that hangs must not block a job */
const PURGE_TIMEOUT = 30_000;

/** The image with a name before a build. */
export interface NameBefore {
  name: string;
  /** ID of the image with the name */
  id: string | undefined;
}

/** @param left the image that an earlier run of the job has left under the name, if any */
export async function lookUpName(
  engine: Pick<Engine, "inspectImage">,
  name: string,
  left: string | undefined,
): Promise<NameBefore> {
  const id = (await engine.inspectImage(name))?.id;
  return { name, id: id === left ? undefined : id };
}

/**
 * Removes an image that a build has left under its name, and returns the name to the image that had it before.
 *
 * @param built the image's ID; undefined if the build did not finish. The engine may have named the image anyway.
 * @param isShared whether another run may build the name at the same time: its image stays.
 */
export async function purgeName(
  engine: PurgeEngine,
  before: NameBefore,
  built: string | undefined,
  { isShared }: { isShared: boolean },
): Promise<void> {
  const { name, id: earlier } = before;
  const now = (await engine.inspectImage(name))?.id;
  const ours = built ?? (isShared ? undefined : now);
  if (ours === undefined || ours === earlier) return;
  if (now === ours || (now !== earlier && !isShared)) {
    if (earlier === undefined) await engine.removeReference(name);
    else await engine.tagImage(earlier, name);
  }
  await removeUntagged(engine, ours);
}

/** Removes an image that has lost its last name to the built image. */
export async function removeReplaced(engine: PurgeEngine, { id }: NameBefore, built: string): Promise<void> {
  if (id !== undefined && id !== built) await removeUntagged(engine, id);
}

/** Performs a part of a purge. The outcome of the job is final: errors become warnings in its log. */
export async function warnOnError(log: JobLog, problem: string, work: () => Promise<void>): Promise<void> {
  const stop = new AbortController();
  try {
    const tooLong = wait(PURGE_TIMEOUT, undefined, { signal: stop.signal }).then(() => {
      throw new Error(`the engine did not finish within ${PURGE_TIMEOUT / 1000} s`);
    });
    await Promise.race([work(), tooLong]);
  } catch (error) {
    log.say(`warning: ${problem}: ${messageOf(error)}`);
  } finally {
    stop.abort();
  }
}
