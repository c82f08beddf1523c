import { mkdir, readdir, rmdir, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { isNoSpace } from "../files/no-space.ts";
import { Failure, messageOf } from "../output/errors.ts";
import { withLock } from "../run/lock.ts";
import { isLeftover, isRunId, type RunId } from "../run/run-id.ts";

/** ms between two checks of the queue. A build takes seconds at least. */
const LOOK_EVERY = 250;
/** Maximum number of waiting runs in a queue: each holds an unpacked archive. */
const MAX_WAITING = 20;
/** `NUMBER-RUNID`, with the suffix `.latest` for a run that cancels earlier runs */
const TICKET = /^(\d{1,15})-([^.]+)(\.latest)?$/;

export interface QueueOptions {
  /** Maximum number of runs that may work at the same time */
  places: number;
  /** This run cancels all earlier runs, whether they wait or work. */
  isLatest: boolean;
  signal: AbortSignal;
  /** Called while this run waits, when the number of runs before it has changed. */
  onWait: (ahead: number) => void;
}

/** A place in a queue. Disposing passes it to the next run, and never fails. */
export interface Place extends AsyncDisposable {
  /** Aborted with a Failure `refused` when a later run with `isLatest` enters the queue. */
  readonly signal: AbortSignal;
}

interface Ticket {
  file: string;
  number: number;
  isLatest: boolean;
}

/**
 * Waits until fewer than `places` earlier runs are left in the queue. Runs work in their order of arrival.
 *
 * A queue is a folder. Each run has a ticket in it: a file whose name contains the run ID and a number, which is higher than those of all earlier
 * runs. A run gets its number under a lock that is held for milliseconds. A killed run leaves its ticket behind, and the other runs remove it. The
 * last run removes the folder. The runs with the lowest tickets may work, so no other lock is needed.
 *
 * Rejects with the signal's reason, or with a Failure `refused` when too many runs wait or a later run with `isLatest` enters the queue.
 */
export async function takePlace(folder: string, runId: RunId, options: QueueOptions): Promise<Place> {
  const { places, signal, onWait } = options;
  const own = await takeTicket(folder, runId, options);
  const leave = async (): Promise<void> => {
    await unlink(join(folder, own.file)).catch(() => {});
    await rmdir(folder).catch(() => {}); // other runs are in the queue
  };
  try {
    for (let before: number | undefined; ;) {
      const tickets = await livingTickets(folder);
      if (isSuperseded(own, tickets)) throw superseded();
      const ahead = tickets.filter(({ number }) => number < own.number).length;
      if (ahead < places) break;
      if (ahead !== before) onWait(ahead);
      before = ahead;
      await wait(LOOK_EVERY, undefined, { signal });
    }
  } catch (error) {
    await leave();
    signal.throwIfAborted();
    throw error;
  }
  return placeOf(own, folder, leave);
}

/** Returns the place of a run, and checks for later runs while it works. */
function placeOf(own: Ticket, folder: string, leave: () => Promise<void>): Place {
  const stop = new AbortController();
  const look = async (): Promise<void> => {
    try {
      if (isSuperseded(own, await livingTickets(folder))) stop.abort(superseded());
    } catch {
      // the next check finds out
    }
  };
  const timer = setInterval(() => void look(), LOOK_EVERY).unref();
  return {
    signal: stop.signal,
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      await leave();
    },
  };
}

/** Maximum attempts to enter a queue: each may fail because the previous run has just removed the folder. */
const ATTEMPTS = 20;

async function takeTicket(folder: string, runId: RunId, options: QueueOptions): Promise<Ticket> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await enter(folder, runId, options);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT" || attempt === ATTEMPTS) throw error;
    }
  }
}

async function enter(folder: string, runId: RunId, { isLatest, places }: QueueOptions): Promise<Ticket> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    return await withLock(join(folder, "numbers"), runId, async () => {
      const tickets = await livingTickets(folder);
      if (!isLatest && tickets.length >= places + MAX_WAITING) throw tooMany(tickets.length - places);
      const number = Math.max(0, ...tickets.map((ticket) => ticket.number)) + 1;
      const file = `${number}-${runId}${isLatest ? ".latest" : ""}`;
      await writeFile(join(folder, file), "", { flag: "wx", mode: 0o600 });
      return { file, number, isLatest };
    });
  } catch (error) {
    if (!isNoSpace(error)) throw error;
    throw new Failure("no-space", `a build cannot be queued: ${messageOf(error)}`, {
      expected: "space for an empty file in the cache folder",
      cause: error,
    });
  }
}

/** Returns the tickets of running processes, and removes those of dead ones. */
async function livingTickets(folder: string): Promise<Ticket[]> {
  const tickets: Ticket[] = [];
  for (const file of await readdir(folder)) {
    const [, number, runId = "", latest] = TICKET.exec(file) ?? [];
    if (number === undefined || !isRunId(runId)) continue;
    if (isLeftover([runId])) await unlink(join(folder, file)).catch(() => {});
    else tickets.push({ file, number: Number(number), isLatest: latest !== undefined });
  }
  return tickets;
}

function isSuperseded(own: Ticket, tickets: readonly Ticket[]): boolean {
  return tickets.some(({ number, isLatest }) => isLatest && number > own.number);
}

function superseded(): Failure {
  return new Failure("refused", "a later build of this name has replaced this one (--latest)", {
    expected: "no later build",
    hint: "No action is needed: the later build replaces this one.",
  });
}

function tooMany(waiting: number): Failure {
  return new Failure("refused", `${waiting} builds are already waiting`, {
    expected: `at most ${MAX_WAITING}`,
    hint: "Try again later. With --latest, a build cancels the earlier ones.",
  });
}
