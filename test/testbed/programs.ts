import { execa } from "execa";

/** PATH with the folders for administrators, which `su` leaves out. */
export function systemPath(): string {
  return `${process.env["PATH"] ?? ""}:/usr/local/sbin:/usr/sbin:/sbin`;
}

/** execa, finding the programs for administrators. */
export const run = execa({ env: { PATH: systemPath() } });

/** The path of a program, if there is one of that name. */
export async function findProgram(name: string): Promise<string | undefined> {
  const { stdout } = await run({ reject: false })`which ${name}`;
  return stdout || undefined;
}
