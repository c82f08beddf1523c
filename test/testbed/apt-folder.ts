import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/**
 * Creates a folder in which apt works as on another machine, with nothing installed and these lines of sources.list.
 * @returns the options with which apt uses the folder; it downloads to cache/archives
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
    // The package lists of a mirror that is frozen at a date have expired.
    "Acquire::Check-Valid-Until": "false",
    "APT::Sandbox::User": "root",
    ...settings,
  };
  return Object.entries(all).flatMap(([key, value]) => ["-o", `${key}=${value}`]);
}
