import { spawn } from "node:child_process";
import type { Writable } from "node:stream";
import { unref } from "./lifeline.ts";
import { systemPath } from "./programs.ts";
import { findRuns, type Run } from "./run.ts";

/**
 * Removes what a run has made, once its stdin has ended. What runs or is mounted in the machines,
 * and the wire between them, ends with their own lifelines (see machine.ts); left are the near
 * engine's bridge, the control groups (in one hierarchy, or in one for each controller) and the
 * files. They cannot be removed before the last process has ended, so it tries for ten seconds;
 * the folder goes last, as a later run tries again when it is still there.
 */
const remove = `
name=$1 folder=$2
cat >/dev/null
for attempt in $(seq 200); do
  groups=$(ls -d /sys/fs/cgroup/"$name" /sys/fs/cgroup/*/"$name" 2>/dev/null)
  if [ -n "$groups" ]; then find $groups -depth -type d -exec rmdir {} + 2>/dev/null; fi
  ip link delete "\${name}b" 2>/dev/null
  if ! ls -d $groups >/dev/null 2>&1 || [ -z "$groups" ]; then
    rm -rf --one-file-system "$folder" 2>/dev/null && exit
  fi
  sleep 0.05
done
exit 1
`;

/** Ends a run and removes its traces. */
export interface Reaper {
  /** Streams that hold the run's machines alive: they end with the run. */
  lifelines: Writable[];
  end(): Promise<void>;
}

/**
 * Starts the process that cleans up after the run, when {@link Reaper.end} is called or when this
 * process ends, be it by SIGKILL: the pipe between them ends then. So no signal needs to be
 * handled, and no exit, which is for the user of the test bed to do.
 */
export function startReaper(run: Run): Reaper {
  const child = spawn("sh", ["-c", remove, "sh", run.name, run.folder], {
    stdio: ["pipe", "ignore", "ignore"],
    env: { PATH: systemPath() },
    // Not in our process group, which Ctrl-C in a terminal ends as a whole.
    detached: true,
    cwd: "/",
  });
  const ended = new Promise<void>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => (code === 0 ? resolve() : reject(new Error(`could not remove all of ${run.folder}`))));
  });
  ended.catch(() => {});
  child.unref();
  unref(child.stdin);
  const lifelines = [child.stdin];
  return {
    lifelines,
    async end() {
      child.ref();
      for (const lifeline of lifelines) lifeline.end();
      await ended;
    },
  };
}

/** Removes what earlier runs have left whose reaper was killed, too. */
export async function removeLeftovers(): Promise<void> {
  const dead = findRuns().filter(({ alive }) => !alive);
  await Promise.all(dead.map((run) => startReaper(run).end()));
}
