import { setTimeout as wait } from "node:timers/promises";
import { messageOf, type Engine } from "docker-over-ssh/builds";
import type { JobLog } from "./job-log.ts";
import { removeNameless } from "./step-images.ts";

export type PurgeEngine = Pick<Engine, "inspectImage" | "listImageIds" | "removeReference" | "tagImage">;

/** ms that a purge may take: an engine that hangs keeps no job */
const LIMIT = 30_000;

/** What an engine has under a name before a build. */
export interface NameBefore {
  name: string;
  /** The image that has it */
  id: string | undefined;
}

/** @param left the image that an earlier run of the job has left under the name, if it did */
export async function lookUpName(
  engine: Pick<Engine, "inspectImage">,
  name: string,
  left: string | undefined,
): Promise<NameBefore> {
  const id = (await engine.inspectImage(name))?.id;
  return { name, id: id === left ? undefined : id };
}

/**
 * Removes what a build has left under its name, and gives the name back to the image that had it before.
 *
 * @param built the image's ID; undefined where the build did not end. An engine may have named it all the same.
 * @param isShared whether another run may build the name at the same time: what it has made stays.
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
  await removeNameless(engine, ours);
}

/** Removes the image that has lost its last name to the one that was built. */
export async function removeReplaced(engine: PurgeEngine, { id }: NameBefore, built: string): Promise<void> {
  if (id !== undefined && id !== built) await removeNameless(engine, id);
}

/** Does a part of a purge. The job has ended as it has ended: what goes wrong is a warning in its log. */
export async function tidily(log: JobLog, what: string, work: () => Promise<void>): Promise<void> {
  const stop = new AbortController();
  try {
    const tooLong = wait(LIMIT, undefined, { signal: stop.signal }).then(() => {
      throw new Error(`the engine has not ended it within ${LIMIT / 1000} s`);
    });
    await Promise.race([work(), tooLong]);
  } catch (error) {
    log.say(`warning: ${what}: ${messageOf(error)}`);
  } finally {
    stop.abort();
  }
}
