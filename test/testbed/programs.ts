import { execa } from "execa";
import { FOR_ADMINISTRATORS, isClean, machineEnvironment } from "./environment.ts";

/** Returns PATH with the folders of administrative programs, which `su` omits. */
export function systemPath(): string {
  const path = process.env["PATH"] ?? "";
  return isClean() ? path : `${path}:${FOR_ADMINISTRATORS.join(":")}`;
}

/** execa with {@link systemPath}. */
export const run = execa({ env: { PATH: systemPath() } });

/** execa for programs that download, with the machine's caches and proxies. */
export const fetching = execa({ env: { ...machineEnvironment(), PATH: systemPath() } });

/** Returns the path of a program; undefined if there is no program of this name. */
export async function findProgram(name: string): Promise<string | undefined> {
  const { stdout } = await run({ reject: false })`which ${name}`;
  return stdout || undefined;
}
