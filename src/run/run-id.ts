import { createHash, randomInt } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";

/**
 * The ID of one run, `HOST-PID-START-BIRTHCOUNT`, in characters that are valid in a tag, a label and a file name. START is in seconds since
 * the epoch, in base 36. BIRTH distinguishes the process from a later process with the same ID, and COUNT distinguishes the run from other
 * runs of the process; each has four hexadecimal digits. The name or label of everything that a run creates contains its ID, so that the
 * next run can recognise and remove the leftovers of a killed run.
 */
export type RunId = string;

const FORM = /^([0-9a-f]{8})-([0-9]{1,10})-([0-9a-z]{1,8})-([0-9a-f]{4})[0-9a-f]{4}$/;
/** The label of a container that contains its run ID. */
export const RUN_LABEL = "docker-over-ssh.run";
/** The label of containers in which a remote side runs, and of the volume with their cache folder. */
export const REMOTE_LABEL = "docker-over-ssh.remote";
/** The first path component of every temporary name. */
export const TEMPORARY_PATH = "docker-over-ssh";
/** The maximum length of registry host and path together, in characters (distribution/reference, `NameTotalLengthMax`). */
const MAX_NAME = 255;
/** Length of the longest host under which either engine knows the registry, unless the user names one. */
const LONGEST_HOST = "127.0.0.1:65535".length;

/**
 * ms after which a run on another host counts as dead, because its process cannot be checked from this host. No transfer takes a month.
 * Until then, leftovers (a name, a container or a file) do little harm, while removing those of a living run would make it fail.
 */
const FOREIGN_AGE = 30 * 24 * 3600 * 1000;
/**
 * ms since the epoch. An earlier start time means that the clock was not set, as on machines without a battery. Then the age is unknown.
 */
const FIRST_START = Date.UTC(2024, 0, 1);

export function newRunId(pid = process.pid, now = Date.now()): RunId {
  const start = Math.floor(now / 1000).toString(36);
  return `${thisHost()}-${pid}-${start}-${birthOf(pid) ?? NO_BIRTH}${nextCount()}`;
}

let count = randomInt(0x10000);

function nextCount(): string {
  count = (count + 1) % 0x10000;
  return count.toString(16).padStart(4, "0");
}

/**
 * Returns the temporary name of an image in a registry at `host` (with port). The tag contains the run IDs of both sides, because both
 * engines get the name, and each side can check only its own run. The path is that of the image, shortened if needed. It is the same for
 * each run, so that a permanent registry finds the image's layers again.
 */
export function temporaryName(host: string, path: string, runIds: readonly RunId[]): string {
  const room = MAX_NAME - Math.max(host.length, LONGEST_HOST) - `/${TEMPORARY_PATH}/`.length;
  return `${host}/${TEMPORARY_PATH}/${shortened(path, room)}:${runIds.join(".")}`;
}

/** Replaces the end of a path that is too long with a hash of the whole path. */
function shortened(path: string, room: number): string {
  if (path.length <= room) return path;
  const hash = shortHash(path, 16);
  const start = path.slice(0, Math.max(0, room - hash.length - 1)).replace(/[^a-z0-9]+$/, ""); // avoids two separators in a row
  return start === "" ? hash : `${start}-${hash}`;
}

/** Returns the run IDs in a temporary name; an empty list for any other name. */
export function runIdsInName(reference: string): RunId[] {
  const [, tag] = new RegExp(`^[^/]+/${TEMPORARY_PATH}/[^:@]+:([^:@/]+)$`).exec(reference) ?? [];
  const runIds = tag?.split(".") ?? [];
  return runIds.every((runId) => FORM.test(runId)) ? runIds : [];
}

export function isRunId(text: string): text is RunId {
  return FORM.test(text);
}

export type RunState = "alive" | "dead" | "elsewhere";

/**
 * Returns whether a run's process still exists. Returns `elsewhere` for a run on another host, which cannot be checked from this host. Does
 * not use the clock, which may have been set in the meantime.
 */
export function runState(runId: RunId, isRunning: (pid: number) => boolean = processIsRunning): RunState {
  const [, host, pid, , birth] = FORM.exec(runId) ?? [];
  if (host !== thisHost()) return "elsewhere";
  if (!isRunning(Number(pid))) return "dead";
  const now = birthOf(Number(pid));
  return birth === NO_BIRTH || now === undefined || now === birth ? "alive" : "dead";
}

/**
 * Returns whether something with these run IDs is a leftover: one of the runs is dead, or all are on other hosts and one of them started
 * more than a month ago.
 */
export function isLeftover(runIds: readonly RunId[], now = Date.now()): boolean {
  const states = new Set(runIds.map((runId) => runState(runId)));
  if (states.has("dead")) return true;
  return (
    !states.has("alive") && runIds.some((runId) => startOf(runId) >= FIRST_START && now - startOf(runId) >= FOREIGN_AGE)
  );
}

/** Returns the start of a run in ms since the epoch. */
function startOf(runId: RunId): number {
  return Number.parseInt(FORM.exec(runId)?.[3] ?? "", 36) * 1000;
}

/**
 * Identifies the scope in which process IDs are unique: the host name; on Linux also the machine (machine-id(5)), because many hosts are
 * named `localhost`, and the PID namespace, so that a run in a container that shares the engine's socket and the host's name does not
 * count as dead. The number at the start changes whenever the meaning of an ID changes.
 */
function thisHost(): string {
  return (host ??= shortHash(`2 ${hostname()} ${machineId()} ${pidNamespace()}`, 8));
}

let host: string | undefined;

function machineId(): string {
  try {
    return readFileSync("/etc/machine-id", "utf8").trim();
  } catch {
    return "";
  }
}

function pidNamespace(): string {
  try {
    return readlinkSync("/proc/self/ns/pid");
  } catch {
    return "";
  }
}

/** The BIRTH of a process whose start is unknown. */
const NO_BIRTH = "0000";

/** Returns a hash of the start of a process in ticks since boot; undefined if it is unknown. Linux only (proc_pid_stat(5)). */
function birthOf(pid: number): string | undefined {
  const ticks = statOf(pid)?.[19];
  return ticks && shortHash(ticks, 4).replace(NO_BIRTH, "0001");
}

/** Returns the fields after the program's name: the first is the state, the 20th is the start of the process. */
function statOf(pid: number): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    return text.slice(text.lastIndexOf(")") + 2).split(" ");
  } catch {
    return undefined;
  }
}

function shortHash(text: string, length: number): string {
  return createHash("sha256").update(text).digest("hex").slice(0, length);
}

function processIsRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !isZombie(pid);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/**
 * Returns whether the process has ended but its parent has not read its exit status: a signal would still reach it. Linux only (proc(5)).
 */
function isZombie(pid: number): boolean {
  return ["Z", "X"].includes(statOf(pid)?.[0] ?? "");
}
