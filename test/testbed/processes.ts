import { readFileSync } from "node:fs";

/** Identifies a process, also among later ones with the same process ID. */
export interface ProcessIdentity {
  pid: number;
  /** Clock ticks since boot. */
  startTime: string;
}

/** @returns `undefined` for a missing process, and for a zombie */
export function identify(pid: number): ProcessIdentity | undefined {
  const { state, startTime } = look(pid);
  return state === "Z" || startTime === undefined ? undefined : { pid, startTime };
}

/** Returns whether a signal has stopped the process until SIGCONT. */
export function isStopped(pid: number): boolean {
  return look(pid).state === "T";
}

/** Returns nothing for a missing process. */
function look(pid: number): { state?: string | undefined; startTime?: string | undefined } {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return {};
  }
  // proc(5): the name, in parentheses, may contain spaces. state is field 3, starttime is field 22.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return { state: fields[0], startTime: fields[19] };
}

/** Returns whether this process still runs, and not another process with the same process ID. */
export function isAlive({ pid, startTime }: ProcessIdentity): boolean {
  return identify(pid)?.startTime === startTime;
}
