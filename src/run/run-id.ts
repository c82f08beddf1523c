import { createHash, randomInt } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";

/**
 * The ID of one run, `HOST-PID-START-BIRTHCOUNT`, in characters that a tag, a label and a file name may have. START is in seconds since
 * the epoch, in base 36. BIRTH distinguishes the process from a later one with its number, COUNT the run from others of the process;
 * each has four hexadecimal digits. Everything that a run creates carries its ID, so that the next run can recognise and remove the
 * leftovers of a killed one.
 */
export type RunId = string;

const FORM = /^([0-9a-f]{8})-([0-9]{1,10})-([0-9a-z]{1,8})-([0-9a-f]{4})[0-9a-f]{4}$/;
/** The label with the run ID of a container. */
export const RUN_LABEL = "docker-over-ssh.run";
/** The label of what serves remote sides in containers: these, and the volume with their cache folder. */
export const REMOTE_LABEL = "docker-over-ssh.remote";
/** The first path component of every temporary name. */
export const TEMPORARY_PATH = "docker-over-ssh";
/** Characters of registry host and path together (distribution/reference, `NameTotalLengthMax`). */
const MAX_NAME = 255;
/** Length of the longest host by which one of the two engines knows the registry, unless the user names one. */
const LONGEST_HOST = "127.0.0.1:65535".length;

/**
 * ms after which a run of another host counts as dead, because its process cannot be checked from here. No transfer takes a month.
 * Leftovers until then are a name, a container or a file, while removing those of a living run would break it off.
 */
const FOREIGN_AGE = 30 * 24 * 3600 * 1000;
/** ms since the epoch. An earlier time comes from a clock that was not set, as on machines without a battery, and gives no age. */
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
 * Returns the temporary name of an image in a registry at `host` (with port). The tag holds the run IDs of both sides, because both
 * engines get the name, and each side can check only its own run. The path is the image's own, shortened if needed: the same each time,
 * so that a permanent registry finds its layers again.
 */
export function temporaryName(host: string, path: string, runIds: readonly RunId[]): string {
  const room = MAX_NAME - Math.max(host.length, LONGEST_HOST) - `/${TEMPORARY_PATH}/`.length;
  return `${host}/${TEMPORARY_PATH}/${shortened(path, room)}:${runIds.join(".")}`;
}

/** Replaces the end of a path that is too long by a hash of the whole path. */
function shortened(path: string, room: number): string {
  if (path.length <= room) return path;
  const hash = shortHash(path, 16);
  const start = path.slice(0, Math.max(0, room - hash.length - 1)).replace(/[^a-z0-9]+$/, ""); // no two separators in a row
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
 * Returns whether a run's process still exists; `elsewhere` for another host's, which cannot be checked from here. It reads no clock,
 * which may have been set since.
 */
export function runState(runId: RunId, isRunning: (pid: number) => boolean = processIsRunning): RunState {
  const [, host, pid, , birth] = FORM.exec(runId) ?? [];
  if (host !== thisHost()) return "elsewhere";
  if (!isRunning(Number(pid))) return "dead";
  const now = birthOf(Number(pid));
  return birth === NO_BIRTH || now === undefined || now === birth ? "alive" : "dead";
}

/**
 * Whether something with these run IDs is a leftover: one of the runs is dead, or all are other hosts' and one of these started more
 * than a month ago.
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
 * Identifies the space in which process numbers are unique: the host name, and on Linux the machine (machine-id(5)), because many are
 * called `localhost`, and the PID namespace, so that a run in a container that shares the engine's socket and the host's name does not
 * count as dead. The number at the start changes with the meaning of an ID.
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

/** The birth of a process whose start is unknown. */
const NO_BIRTH = "0000";

/** Hashes the start of a process in ticks since the boot; undefined where it is unknown. On Linux only (proc_pid_stat(5)). */
function birthOf(pid: number): string | undefined {
  const ticks = statOf(pid)?.[19];
  return ticks && shortHash(ticks, 4).replace(NO_BIRTH, "0001");
}

/** Returns the fields after the program's name: the first is the state, the 20th the start of the process. */
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

/** Whether the process has ended but its parent has not read its exit: a signal would still reach it. On Linux (proc(5)) only. */
function isZombie(pid: number): boolean {
  return ["Z", "X"].includes(statOf(pid)?.[0] ?? "");
}
