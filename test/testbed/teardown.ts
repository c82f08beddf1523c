import { spawn } from "node:child_process";
import type { Writable } from "node:stream";
import { unref } from "./lifeline.ts";
import { systemPath } from "./programs.ts";
import { findRuns, type Run } from "./run.ts";

/**
 * Cleans up after a run once its stdin has ended. The machines' processes, mounts and wire end with their own lifelines (machine.ts). Removes the
 * near engine's bridge, the control groups (in one hierarchy, or in one for each controller) and the files. Retries for ten seconds, because
 * running processes keep them busy. Removes the folder last, so that a later run that finds the folder tries again.
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

/** Ends a run and removes all that it has created. */
export interface Reaper {
  /** The lifelines of the run's machines. They end with the run. */
  lifelines: Writable[];
  end(): Promise<void>;
}

/**
 * Starts the process that cleans up after the run when {@link Reaper.end} is called or this process ends, even by SIGKILL, because
 * both close the pipe between the two processes. So the test bed needs no handlers for signals or exit.
 */
export function startReaper(run: Run): Reaper {
  const child = spawn("sh", ["-c", remove, "sh", run.name, run.folder], {
    stdio: ["pipe", "ignore", "ignore"],
    env: { PATH: systemPath() },
    // In another process group, because Ctrl-C in a terminal ends the whole group of this process.
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

/** Cleans up after earlier runs whose reaper was also killed. */
export async function removeLeftovers(): Promise<void> {
  const dead = findRuns().filter(({ alive }) => !alive);
  await Promise.all(dead.map((run) => startReaper(run).end()));
}
