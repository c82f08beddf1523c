import { execa } from "execa";
import { FOR_ADMINISTRATORS, isClean, machineEnvironment } from "./environment.ts";

/** PATH with the folders for administrators, which `su` leaves out. */
export function systemPath(): string {
  const path = process.env["PATH"] ?? "";
  return isClean() ? path : `${path}:${FOR_ADMINISTRATORS.join(":")}`;
}

/** execa, finding the programs for administrators. */
export const run = execa({ env: { PATH: systemPath() } });

/** The same for what fetches something, with the machine's caches and proxies. */
export const fetching = execa({ env: { ...machineEnvironment(), PATH: systemPath() } });

/** The path of a program, if there is one of that name. */
export async function findProgram(name: string): Promise<string | undefined> {
  const { stdout } = await run({ reject: false })`which ${name}`;
  return stdout || undefined;
}
