import { readFileSync } from "node:fs";
import { execa } from "execa";
import type { Testbed } from "../../test/testbed/testbed.ts";
import { buildImage } from "../../test/testbed/build-image.ts";
import { median } from "../statistics.ts";
import type { SeveralOptions } from "./several.ts";

/** The figures of one command line. */
export interface Pushed {
  seconds: number;
  /** The bytes that docker-over-ssh sent, without the overhead of ssh and TCP. */
  bytes: number;
  /** The CPU time of docker-over-ssh and ssh on the near machine, in seconds. */
  nearCpu: number;
  /** The CPU time of the whole machine, including the engines and the far side, in seconds. */
  allCpu: number;
}

interface Result {
  type: string;
  bytesSent: number;
}

/** Runs `docker-over-ssh push`. Throws an error if it fails. */
export async function push(bed: Testbed, args: string[], env: Record<string, string> = {}): Promise<Pushed> {
  const before = busySeconds();
  const start = performance.now();
  // bash reports the CPU time of the processes for which it has waited.
  const script = 'TIMEFORMAT="cpu %U %S"; time docker-over-ssh push --json "$@"';
  const { stdout, stderr } = await execa("bash", ["-ec", script, "bash", ...args], {
    env: { ...bed.env, ...env },
    stdin: "ignore",
  });
  const seconds = (performance.now() - start) / 1000;
  const [, user = "", system = ""] = /^cpu ([\d.]+) ([\d.]+)$/m.exec(stderr) ?? [];
  const events = stdout.split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line) as Result]));
  const bytes = events.filter(({ type }) => type === "result").reduce((sum, { bytesSent }) => sum + bytesSent, 0);
  return { seconds, bytes, nearCpu: Number(user) + Number(system), allCpu: busySeconds() - before };
}

/** Returns the seconds that all cores have worked since the machine started. */
function busySeconds(): number {
  const [, user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = (
    readFileSync("/proc/stat", "utf8").split("\n")[0] ?? ""
  )
    .split(/\s+/)
    .map(Number);
  return (user + nice + system + irq + softirq) / 100;
}

export function medianOf(all: readonly Pushed[], key: keyof Pushed): number {
  return median(all.map((pushed) => pushed[key]));
}

export function load(): string {
  return readFileSync("/proc/loadavg", "utf8").split(" ").slice(0, 3).join(" ");
}

/** Builds images with a shared layer and a layer of their own. Returns their names. */
export async function buildImages(bed: Testbed, { count, baseMB, ownMB, content }: SeveralOptions): Promise<string[]> {
  const names = Array.from({ length: count }, (_, index) => `service-${index + 1}:v1`);
  for (const name of names) {
    await buildImage(bed.near, name, [
      { name: "base", bytes: baseMB * 1e6, files: baseMB * 10, content },
      { name: "own", bytes: ownMB * 1e6, files: ownMB * 10, seed: name, content },
    ]);
  }
  return names;
}
