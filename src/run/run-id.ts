import { createHash, randomInt } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";

/**
 * A name for one run that tells whether it still goes on: `HOST-PID-START-BIRTHCOUNT`, of characters that a tag, a label and a
 * file name may have; START is in seconds since the epoch, in base 36; BIRTH tells the process from a later one that was given its
 * number, COUNT the run from others of the process, four hexadecimal digits each. What a killed run left behind carries it, so
 * the next run can tell that nobody will come back.
 */
export type RunId = string;

const FORM = /^([0-9a-f]{8})-([0-9]{1,10})-([0-9a-z]{1,8})-([0-9a-f]{4})[0-9a-f]{4}$/;
/** Where a container's or image's run id is found. */
export const RUN_LABEL = "docker-over-ssh.run";
/** The first path component of every temporary name. */
export const TEMPORARY_PATH = "docker-over-ssh";
/** Of registry host and path together (distribution/reference, `NameTotalLengthMax`). */
const MAX_NAME = 255;
/** The longest of the hosts that a transfer's two engines may know the registry by, if none was named. */
const LONGEST_DOOR = "127.0.0.1:65535".length;

/**
 * ms. Whether another host's run goes on cannot be told from here. No transfer takes a month, and what is left until then is a name, a
 * container or a file; who took a living run's would break it off.
 */
const FOREIGN_AGE = 30 * 24 * 3600 * 1000;
/** ms since the epoch. A clock that says less had not been set yet, as those of machines without a battery, and tells no age. */
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
 * The temporary name of an image in a registry at `host` (with port). The tag holds the runs of both sides, because both
 * engines see the name, and each side can tell only of its own run whether it still goes on. The path is the image's own,
 * as far as there is room: the same each time, so that a registry that stays finds its layers again.
 */
export function temporaryName(host: string, path: string, runs: readonly RunId[]): string {
  const room = MAX_NAME - Math.max(host.length, LONGEST_DOOR) - `/${TEMPORARY_PATH}/`.length;
  return `${host}/${TEMPORARY_PATH}/${shortened(path, room)}:${runs.join(".")}`;
}

/** A path that is too long loses its end to a hash of it all. */
function shortened(path: string, room: number): string {
  if (path.length <= room) return path;
  const hash = shortHash(path, 16);
  const kept = path.slice(0, Math.max(0, room - hash.length - 1)).replace(/[^a-z0-9]+$/, ""); // a name ends with neither
  return kept === "" ? hash : `${kept}-${hash}`;
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

/**
 * Whether a run's process is still there; `elsewhere` when it was another host's and cannot be told from here. No clock counts: it may
 * have been set since.
 */
export function lifeOf(run: RunId, isRunning: (pid: number) => boolean = processIsRunning): Life {
  const [, host, pid, , birth] = FORM.exec(run) ?? [];
  if (host !== thisHost()) return "elsewhere";
  if (!isRunning(Number(pid))) return "dead";
  const now = birthOf(Number(pid));
  return birth === NO_BIRTH || now === undefined || now === birth ? "alive" : "dead";
}

/**
 * Whether nobody will come back for what carries these runs: one of them is dead, or all are other hosts' and one of those
 * began more than a month ago.
 */
export function isLeftBy(runs: readonly RunId[], now = Date.now()): boolean {
  const lives = new Set(runs.map((run) => lifeOf(run)));
  if (lives.has("dead")) return true;
  return !lives.has("alive") && runs.some((run) => startOf(run) >= FIRST_START && now - startOf(run) >= FOREIGN_AGE);
}

/** ms since the epoch. */
function startOf(run: RunId): number {
  return Number.parseInt(FORM.exec(run)?.[3] ?? "", 36) * 1000;
}

/**
 * Where process numbers mean the same processes: the host name, and on Linux the machine (machine-id(5)), because many are called
 * `localhost`, and the PID namespace, so that a run in a container that shares the engine's socket and the host's name is not taken for a
 * dead one. The text before them is another one when what an id tells changes.
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

/** Where it cannot be told when a process began. */
const NO_BIRTH = "0000";

/** Of when a process began, in ticks since the machine did; undefined where that cannot be told. On Linux only (proc_pid_stat(5)). */
function birthOf(pid: number): string | undefined {
  const ticks = statOf(pid)?.[19];
  return ticks && shortHash(ticks, 4).replace(NO_BIRTH, "0001");
}

/** The fields that follow on the program's name: the first is the state, the 20th when the process began. */
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

/** Killed, but whoever started it has not asked how it ended: a signal would still reach it. Told on Linux (proc(5)) only. */
function isZombie(pid: number): boolean {
  return ["Z", "X"].includes(statOf(pid)?.[0] ?? "");
}
