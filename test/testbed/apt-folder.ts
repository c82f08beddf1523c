import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/**
 * A folder in which apt works as on a machine of its own, where nothing is installed, with these lines of sources.list.
 * @returns the options that make it do so; what it downloads is in cache/archives
 */
export function aptFolder(folder: string, sources: string, settings: Record<string, string> = {}): string[] {
  for (const sub of ["lists/partial", "cache/archives/partial"]) mkdirSync(join(folder, sub), { recursive: true });
  writeFileSync(join(folder, "status"), "");
  writeFileSync(join(folder, "sources.list"), sources);
  const all = {
    "Dir::Etc::sourcelist": join(folder, "sources.list"),
    "Dir::Etc::sourceparts": "/dev/null",
    "Dir::State::lists": join(folder, "lists"),
    "Dir::State::status": join(folder, "status"),
    "Dir::Cache": join(folder, "cache"),
    // A mirror that is frozen at a date has lists that are past their time.
    "Acquire::Check-Valid-Until": "false",
    "APT::Sandbox::User": "root",
    ...settings,
  };
  return Object.entries(all).flatMap(([key, value]) => ["-o", `${key}=${value}`]);
}
