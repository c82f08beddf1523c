import { readFileSync } from "node:fs";
import type { Readable } from "node:stream";
import { execa } from "execa";
import { expect, inject } from "vitest";
import type { Engine } from "../testbed/engine.ts";
import { attachTestbed } from "../testbed/start.ts";
import type { Testbed } from "../testbed/testbed.ts";

/** What a test sees of one run of the command. */
export interface Run {
  exitCode: number | undefined;
  signal: string | undefined;
  stdout: string;
  stderr: string;
}

/** A run that went well; on a mismatch the whole run is shown, with what it printed. */
export const done = { exitCode: 0, signal: undefined, stdout: "", stderr: expect.any(String) as string };

const shared = inject("testbed");

/** Why the engine tests cannot run here; undefined when they can. Vitest prints it beside what it skips. */
export const why = "why" in shared ? shared.why : undefined;

/** The engines that all files share. */
export const bed: Testbed = "why" in shared ? (undefined as never) : attachTestbed(shared);

/** Whether one of our command lines, or the test bed, has started this process; one that has ended since is nobody's. */
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

/** Runs `docker-over-ssh …` as a user on the near machine types it. Never rejects. */
export async function dos(args: readonly string[], options: StartOptions = {}): Promise<Run> {
  const { exitCode, signal, stdout, stderr } = await startDos(args, options);
  return { exitCode, signal, stdout, stderr };
}

/** The same, still running. */
export function startDos(args: readonly string[], { env = {}, on = bed }: StartOptions = {}) {
  return execa("docker-over-ssh", args, { reject: false, stdin: "ignore", env: { ...on.env, ...env } });
}

/** Resolves once the run has printed `text` on stderr; rejects when it ends without. */
export async function untilPrinted(run: { stderr: Readable }, text: string): Promise<void> {
  let seen = "";
  // Listeners, not an iteration: leaving that would close the pipe.
  await new Promise<void>((resolve, reject) => {
    run.stderr.on("data", (chunk: Buffer) => {
      seen += chunk.toString();
      if (seen.includes(text)) resolve();
    });
    run.stderr.once("end", () => reject(new Error(`ended before it printed ${JSON.stringify(text)}:\n${seen}`)));
  });
}

/** The engines' contents now; call the result later for what came and went since. */
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

/** What {@link rememberEngines} gives when nothing changed on so many engines. */
export const unchanged = (engines: number): unknown => Array.from({ length: engines }, () => ({ came: [], went: [] }));
