import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { CACHE_VOLUME } from "../src/remote/script/container-script.ts";
import { run } from "../test/testbed/programs.ts";
import { layersOf } from "./images.ts";
import type { Peer } from "./peers/peer.ts";
import type { Stage } from "./stage.ts";

/** The figures of one transfer. */
export interface Measured {
  seconds: number;
  /** Bytes on the wire, including headers of Ethernet, IP and TCP. */
  toFar: number;
  toNear: number;
  /** Peak resident memory of docker-over-ssh processes in bytes; absent for peers. */
  peakNear?: number;
  peakFar?: number;
}

/** Runs the peer's line verbatim. Throws an error if it fails, or if an image other than the sent one arrives. */
export async function transfer(stage: Stage, peer: Peer, image: string, signal: AbortSignal): Promise<Measured> {
  const { bed, peaks } = stage;
  for (const path of Object.values(peaks)) rmSync(path, { force: true });
  forgetLayers(stage);
  if (peer.isFirstContact) {
    rmSync(stage.caches.far, { recursive: true, force: true });
    await bed.far.docker("volume", "rm", "--force", CACHE_VOLUME);
  }
  await dropCaches();
  const wire = await bed.countWire();
  const start = performance.now();
  await typed(peer.line(image, stage), stage, signal);
  const seconds = (performance.now() - start) / 1000;
  const { toFar, toNear } = await wire();
  const [sent, came] = [await layersOf(bed.near, image), await layersOf(bed.far, image)];
  if (sent !== came) throw new Error(`${peer.name} brought other layers than were sent`);
  const [peakNear, peakFar] = [readPeak(peaks.near), readPeak(peaks.far)];
  return { seconds, toFar, toNear, ...(peakNear && peakFar ? { peakNear, peakFar } : {}) };
}

/** Removes the parts of layers that docker-over-ssh caches on either side. */
export function forgetLayers({ caches }: Stage): void {
  for (const path of [...layersIn(caches.near), ...layersIn(caches.far)])
    rmSync(path, { recursive: true, force: true });
}

/** Returns the paths in a cache folder that contain parts of layers. The compiled command and bundles stay, as in everyday use. */
function layersIn(cache: string): string[] {
  const names = existsSync(cache) ? readdirSync(cache) : [];
  return names.filter((name) => name !== "code" && !name.startsWith("bundle-")).map((name) => join(cache, name));
}

/** Runs a line verbatim, in its own process group. An abort ends the whole group. */
export async function typed(
  line: string,
  { env, bed }: Pick<Stage, "env" | "bed">,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  const child = execa("bash", ["-e", "-o", "pipefail", "-c", line], {
    env,
    detached: true,
    stdin: "ignore",
    stdout: "ignore",
    reject: false,
    cwd: bed.folder,
  });
  const kill = (): void => {
    if (child.pid !== undefined) process.kill(-child.pid, "SIGTERM");
  };
  signal.addEventListener("abort", kill, { once: true });
  process.once("exit", kill);
  const { failed, exitCode, stderr } = await child;
  process.off("exit", kill);
  signal.removeEventListener("abort", kill);
  signal.throwIfAborted();
  if (failed) throw new Error(`status ${exitCode}: ${lastLine(stderr)}`);
}

/** Drops the system's caches, so that a transfer does not speed up the next one. */
async function dropCaches(): Promise<void> {
  await run`sync`;
  writeFileSync("/proc/sys/vm/drop_caches", "3");
}

function readPeak(file: string): number | undefined {
  if (!existsSync(file)) return undefined;
  const kB = readFileSync(file, "utf8").trim().split("\n").map(Number);
  return Math.max(...kB) * 1024;
}

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1) ?? "";
}
