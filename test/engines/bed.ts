import { readFileSync } from "node:fs";
import type { Readable } from "node:stream";
import { execa } from "execa";
import { expect, inject } from "vitest";
import type { Engine } from "../testbed/engine.ts";
import { attachTestbed } from "../testbed/start.ts";
import type { Testbed } from "../testbed/testbed.ts";

/** The outcome of one run of the command. */
export interface Run {
  exitCode: number | undefined;
  signal: string | undefined;
  stdout: string;
  stderr: string;
}

/** The outcome of a successful run. A mismatch shows the whole run with its output. */
export const done = { exitCode: 0, signal: undefined, stdout: "", stderr: expect.any(String) as string };

const shared = inject("testbed");

/** Why the engine tests cannot run here; undefined when they can. Vitest prints it next to skipped tests. */
export const why = "why" in shared ? shared.why : undefined;

/** The test bed that all files share. */
export const bed: Testbed = "why" in shared ? (undefined as never) : attachTestbed(shared);

/** Returns whether a command line of the tests, or the test bed, has started this process. False for a process that has ended. */
export function isOfBed(pid: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, "utf8").includes(bed.folder);
  } catch {
    return false;
  }
}

interface StartOptions {
  env?: Record<string, string>;
  on?: Testbed;
}

/** Runs `docker-over-ssh …` as a user of the near machine. Never rejects. */
export async function dos(args: readonly string[], options: StartOptions = {}): Promise<Run> {
  const { exitCode, signal, stdout, stderr } = await startDos(args, options);
  return { exitCode, signal, stdout, stderr };
}

/** Starts `docker-over-ssh …` as a user of the near machine. */
export function startDos(args: readonly string[], { env = {}, on = bed }: StartOptions = {}) {
  return execa("docker-over-ssh", args, { reject: false, stdin: "ignore", env: { ...on.env, ...env } });
}

/** Resolves once the run has printed `text` on stderr. Rejects when the run ends without printing it. */
export async function untilPrinted(run: { stderr: Readable }, text: string): Promise<void> {
  let seen = "";
  // Listeners, because leaving a loop over the stream closes the pipe.
  await new Promise<void>((resolve, reject) => {
    run.stderr.on("data", (chunk: Buffer) => {
      seen += chunk.toString();
      if (seen.includes(text)) resolve();
    });
    run.stderr.once("end", () => reject(new Error(`ended before it printed ${JSON.stringify(text)}:\n${seen}`)));
  });
}

/**
 * Returns whether a path in the cache folder stays from one run to the next: compiled code, stored contexts and known pieces, the bundle of a host,
 * a compressed Node, the record of a failed pull.
 */
export function staysInCache(path: string): boolean {
  const name = path.replace(/^(?:code|contexts|pieces)(?:\/|$)/, "");
  const stays = [
    /^builds$/,
    /^bundle-[0-9a-f]{64}\.cjs$/,
    /^pull-failed$/,
    /^sent-node-[0-9a-f]{16}-\d+-[0-9a-f]{64}\.gz$/,
  ];
  if (name === path) return stays.some((form) => form.test(path));
  return path.startsWith("code") || name === "" || /^[0-9a-f]{64}(?:\.pack)?$/.test(name);
}

/** Lists the contents of the engines. The returned function returns the names that have been added and removed since. */
export async function rememberEngines(...engines: Engine[]): Promise<() => Promise<unknown>> {
  const listings = async (): Promise<string[][]> =>
    await Promise.all(
      engines.map(async (engine) => {
        const { containers, volumes, references } = await engine.listing();
        const names = containers.map(({ name }) => `container ${name}`);
        return [...names, ...volumes.map((name) => `volume ${name}`), ...references];
      }),
    );
  const before = await listings();
  return async () =>
    (await listings()).map((now, index) => ({
      came: now.filter((name) => !before[index]?.includes(name)),
      went: before[index]?.filter((name) => !now.includes(name)),
    }));
}

/** The result of {@link rememberEngines} if nothing has changed on this number of engines. */
export const unchanged = (engines: number): unknown => Array.from({ length: engines }, () => ({ came: [], went: [] }));
