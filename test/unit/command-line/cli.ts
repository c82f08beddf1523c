import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll } from "vitest";

/** A temporary folder for the test file that imports this module. It is removed after the last test. */
export const folder = await mkdtemp(join(tmpdir(), "command-line-"));
afterAll(async () => await rm(folder, { recursive: true }));

/** The first words of a command line that runs the built program. */
export const program = [process.execPath, join(import.meta.dirname, "../../../bin/docker-over-ssh.js")];

/** DOCKER_HOST names a missing socket, so that a side that connects to an engine fails. */
const env = { XDG_CACHE_HOME: join(folder, "cache"), DOCKER_HOST: "unix:///nowhere.sock", NO_COLOR: "1" };

/** The options with which execa runs the program. A failure does not throw, so that tests can check it. */
export const settings = { cwd: folder, env, reject: false } as const;

/** Starts `docker-over-ssh …` in the test's folder. */
export function start(...words: string[]) {
  return execa(process.execPath, [...program.slice(1), ...words], { ...settings, stdin: "ignore" });
}

/** Runs `docker-over-ssh …` in the test's folder to its end. */
export async function run(...words: string[]): Promise<{ exitCode: number | undefined; stderr: string }> {
  const { exitCode, stderr } = await start(...words);
  return { exitCode, stderr };
}
