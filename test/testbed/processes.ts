import { readFileSync } from "node:fs";

/** A process that cannot be mistaken for a later one with the same number. */
export interface ProcessIdentity {
  pid: number;
  /** In clock ticks since the machine was booted. */
  startTime: string;
}

/** @returns `undefined` when there is no such process, or only its corpse. */
export function identify(pid: number): ProcessIdentity | undefined {
  const { state, startTime } = look(pid);
  return state === "Z" || startTime === undefined ? undefined : { pid, startTime };
}

/** Whether a signal has stopped it, and it waits for SIGCONT. */
export function isStopped(pid: number): boolean {
  return look(pid).state === "T";
}

/** Nothing when there is no such process. */
function look(pid: number): { state?: string | undefined; startTime?: string | undefined } {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return {};
  }
  // proc(5): the name, in parentheses, may hold spaces; state is field 3, starttime field 22.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return { state: fields[0], startTime: fields[19] };
}

/** Whether this very process still runs, and not another that got its number. */
export function isAlive({ pid, startTime }: ProcessIdentity): boolean {
  return identify(pid)?.startTime === startTime;
}
