import { createHash, randomBytes } from "node:crypto";
import { readlinkSync } from "node:fs";
import { hostname } from "node:os";

/**
 * A name for one run that tells whether it still goes on: `HOST-PID-RANDOM`, of characters that a tag, a label and a
 * file name may have. What a killed run left behind carries it, so the next run can tell that nobody will come back.
 */
export type RunId = string;

const FORM = /^([0-9a-f]{8})-([0-9]+)-[0-9a-f]{8}$/;
/** Where a container's or image's run id is found. */
export const RUN_LABEL = "docker-over-ssh.run";
/** The first path component of every temporary name. */
const TEMPORARY_PATH = "docker-over-ssh";

export function newRunId(pid = process.pid): RunId {
  return `${thisHost()}-${pid}-${randomBytes(4).toString("hex")}`;
}

/**
 * The temporary name of an image in a registry at `host` (with port). The tag holds the runs of both sides, because both
 * engines see the name, and each side can tell only of its own run whether it still goes on.
 */
export function temporaryName(host: string, path: string, runs: readonly RunId[]): string {
  return `${host}/${TEMPORARY_PATH}/${path}:${runs.join(".")}`;
}

/** The runs that a temporary name belongs to; none for anybody else's name. */
export function runsOfName(reference: string): RunId[] {
  const [, tag] = new RegExp(`^[^/]+/${TEMPORARY_PATH}/[^:@]+:([^:@/]+)$`).exec(reference) ?? [];
  const runs = tag?.split(".") ?? [];
  return runs.every((run) => FORM.test(run)) ? runs : [];
}

export function isRunId(text: string): text is RunId {
  return FORM.test(text);
}

export type Life = "alive" | "dead" | "elsewhere";

/** Whether a run's process is still there; `elsewhere` when it was another host's and cannot be told from here. */
export function lifeOf(run: RunId, isRunning: (pid: number) => boolean = processIsRunning): Life {
  const [, host, pid] = FORM.exec(run) ?? [];
  if (host !== thisHost()) return "elsewhere";
  return isRunning(Number(pid)) ? "alive" : "dead";
}

/**
 * Where process numbers mean the same processes: the host name, and on Linux the PID namespace, so that a run in a
 * container that shares the engine's socket and the host's name is not taken for a dead one.
 */
function thisHost(): string {
  return createHash("sha256").update(`${hostname()} ${pidNamespace()}`).digest("hex").slice(0, 8);
}

function pidNamespace(): string {
  try {
    return readlinkSync("/proc/self/ns/pid");
  } catch {
    return "";
  }
}

function processIsRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
