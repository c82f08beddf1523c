import { createHash } from "node:crypto";
import { join } from "node:path";
import { cacheFolder } from "../files/cache-folder.ts";
import { openPrivateFolder } from "../files/private-folder.ts";
import { fullName, type Reference } from "../image/reference.ts";
import type { Output } from "../output/output.ts";
import type { RunId } from "../run/run-id.ts";
import { SIGN_OF_LIFE } from "./watch-client.ts";
import { takePlace, type Place } from "./queue.ts";

/** The folder in the cache folder with a queue for each name, and one for all builds of this user. */
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
 * Waits until no other build of this name runs, and then until fewer than `jobs` builds of this user do. Who has a place among all has one for
 * its name, and waits for nothing else: so runs cannot wait for each other. Tells every 15 s that it waits.
 * Rejects as {@link takePlace}.
 */
export async function takeTurn(options: TurnOptions): Promise<Place> {
  const { name, jobs, isLatest, runId, env, output, signal } = options;
  // The archive is in the cache folder already: there is one.
  const folder = openPrivateFolder(join(cacheFolder(env) ?? "", FOLDER), { make: true });
  const wait = async (queue: string, places: number, ends: boolean, stop: AbortSignal): Promise<Place> => {
    using teller = repeat((ahead) =>
      output.note({ code: "build-waiting", ahead, ...(queue !== ALL && { image: fullName(name) }) }),
    );
    return await takePlace(join(folder, queue), runId, { places, isLatest: ends, signal: stop, onWait: teller.tell });
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
/** Archives of this user that are unpacked at the same time: each may take --max-size of the disk. */
const MAX_ARCHIVES = 8;

/**
 * Waits until few enough archives of this user are unpacked, before one is read. It is held until the build is over. Who has this place may wait
 * for a turn, and nobody with a turn waits for this one. Rejects as {@link takePlace}.
 */
export async function takeRoom(options: Omit<TurnOptions, "name" | "jobs" | "isLatest">): Promise<Place | undefined> {
  const { runId, env, output, signal } = options;
  let folder: string;
  try {
    folder = openPrivateFolder(join(cacheFolder(env) ?? "", FOLDER), { make: true });
  } catch {
    return undefined; // opening the spool tells why this folder does not do
  }
  using teller = repeat((ahead) => output.note({ code: "build-waiting", ahead }));
  const place = { places: MAX_ARCHIVES, isLatest: false, signal, onWait: teller.tell };
  return await takePlace(join(folder, ARRIVING), runId, place);
}

function queueOf(name: Reference): string {
  return `name-${createHash("sha256").update(fullName(name)).digest("hex").slice(0, 32)}`;
}

interface Teller extends Disposable {
  tell(this: void, ahead: number): void;
}

/** Tells at once, and again until it is disposed of. */
function repeat(print: (ahead: number) => void): Teller {
  let timer: NodeJS.Timeout | undefined;
  return {
    tell(ahead) {
      clearInterval(timer);
      print(ahead);
      timer = setInterval(() => print(ahead), SIGN_OF_LIFE);
    },
    [Symbol.dispose]: () => clearInterval(timer),
  };
}
