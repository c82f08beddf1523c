import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll } from "vitest";

/** Of the test file that imports this; removed after its last test. */
export const folder = await mkdtemp(join(tmpdir(), "places-"));
afterAll(async () => await rm(folder, { recursive: true }));

/** The built program, as a word of a command. */
export const program = [process.execPath, join(import.meta.dirname, "../../../bin/docker-over-ssh.js")];

/** No engine is to be found, so that a side which looks for one fails. */
const env = { XDG_CACHE_HOME: join(folder, "cache"), DOCKER_HOST: "unix:///nowhere.sock", NO_COLOR: "1" };

/** How the program is run here: what fails is looked at. */
export const settings = { cwd: folder, env, reject: false } as const;

/** `docker-over-ssh …` in the test's folder, still running. */
export function start(...words: string[]) {
  return execa(process.execPath, [...program.slice(1), ...words], { ...settings, stdin: "ignore" });
}

/** The same, ended. */
export async function run(...words: string[]): Promise<{ exitCode: number | undefined; stderr: string }> {
  const { exitCode, stderr } = await start(...words);
  return { exitCode, stderr };
}
