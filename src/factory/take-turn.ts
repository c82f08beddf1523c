import { createHash } from "node:crypto";
import { join } from "node:path";
import { cacheFolder } from "../files/cache-folder.ts";
import { openPrivateFolder } from "../files/private-folder.ts";
import { fullName, type Reference } from "../image/reference.ts";
import type { Output } from "../output/output.ts";
import type { RunId } from "../run/run-id.ts";
import { SIGN_OF_LIFE } from "./watch-client.ts";
import { takePlace, type Place } from "./queue.ts";

/** The folder in the cache folder that contains a queue for each name, and one for all builds of this user. */
const FOLDER = "builds";

export interface TurnOptions {
  name: Reference;
  jobs?: number | undefined;
  isLatest: boolean;
  runId: RunId;
  env: NodeJS.ProcessEnv;
  output: Output;
  signal: AbortSignal;
}

/**
 * Waits until no other build of this name runs, and after that until fewer than `jobs` builds of this user run. A build takes the place for
 * its name first, and a build with both places waits for nothing else, so a deadlock is impossible. Reports every 15 s that it waits.
 * Rejects like {@link takePlace}.
 */
export async function takeTurn(options: TurnOptions): Promise<Place> {
  const { name, jobs, isLatest, runId, env, output, signal } = options;
  // A cache folder exists, because the archive is in it.
  const folder = openPrivateFolder(join(cacheFolder(env) ?? "", FOLDER), { make: true });
  const wait = async (queue: string, places: number, ends: boolean, stop: AbortSignal): Promise<Place> => {
    using reminder = repeat((ahead) =>
      output.note({ code: "build-waiting", ahead, ...(queue !== ALL && { image: fullName(name) }) }),
    );
    return await takePlace(join(folder, queue), runId, {
      places,
      isLatest: ends,
      signal: stop,
      onWait: reminder.report,
    });
  };
  const own = await wait(queueOf(name), 1, isLatest, signal);
  if (jobs === undefined) return own;
  try {
    const among = await wait(ALL, jobs, false, AbortSignal.any([signal, own.signal]));
    return {
      signal: own.signal,
      async [Symbol.asyncDispose]() {
        await among[Symbol.asyncDispose]();
        await own[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await own[Symbol.asyncDispose]();
    throw error;
  }
}

const ALL = "all";
const ARRIVING = "arriving";
/** Maximum number of this user's archives that are unpacked at the same time: each may use --max-size of the disk. */
const MAX_ARCHIVES = 8;

/**
 * Waits, before an archive is read, until fewer than {@link MAX_ARCHIVES} archives of this user are unpacked. The place is held until the build is
 * over. A run with this place may wait for a turn, but no run with a turn waits for this place. Rejects like {@link takePlace}.
 */
export async function takeUnpackingPlace(
  options: Omit<TurnOptions, "name" | "jobs" | "isLatest">,
): Promise<Place | undefined> {
  const { runId, env, output, signal } = options;
  let folder: string;
  try {
    folder = openPrivateFolder(join(cacheFolder(env) ?? "", FOLDER), { make: true });
  } catch {
    return undefined; // opening the spool reports why this folder cannot be used
  }
  using reminder = repeat((ahead) => output.note({ code: "build-waiting", ahead }));
  const queueOptions = { places: MAX_ARCHIVES, isLatest: false, signal, onWait: reminder.report };
  return await takePlace(join(folder, ARRIVING), runId, queueOptions);
}

function queueOf(name: Reference): string {
  return `name-${createHash("sha256").update(fullName(name)).digest("hex").slice(0, 32)}`;
}

interface Reminder extends Disposable {
  report(this: void, ahead: number): void;
}

/** Prints each report at once, and repeats the last one until it is disposed of. */
function repeat(print: (ahead: number) => void): Reminder {
  let timer: NodeJS.Timeout | undefined;
  return {
    report(ahead) {
      clearInterval(timer);
      print(ahead);
      timer = setInterval(() => print(ahead), SIGN_OF_LIFE);
    },
    [Symbol.dispose]: () => clearInterval(timer),
  };
}
