import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { give } from "./homes.ts";

/** Writes a file for each variable, readable only by the tenant's programs. */
export async function writeVariables(
  folder: string,
  user: number,
  variables: Readonly<Record<string, string>>,
): Promise<void> {
  await mkdir(folder, { mode: 0o700 });
  for (const [name, value] of Object.entries(variables)) {
    const path = join(folder, name);
    await writeFile(path, value, { mode: 0o600, flag: "wx" });
    await give(path, user);
  }
  await give(folder, user);
}
