import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { runsFolder } from "./paths.ts";
import { identify, isAlive, type ProcessIdentity } from "./processes.ts";

/** One run of a test bed. The names of all its files, devices and groups contain its name, so that they can be found and removed. */
export interface Run {
  /** Unique among live runs, and short enough for the name of a network device (15 bytes). */
  name: string;
  folder: string;
}

/** The name of the folder identifies the owner, so that the owner of a run is always known. */
const folderName = /^(dos(\d+)-\d+)\.(\d+)$/;

/** Creates the folder of a run that belongs to this process. */
export function createRun(): Run {
  const owner = identify(process.pid);
  if (!owner) throw new Error("this process is not in /proc");
  for (let n = 0; ; n++) {
    const name = `dos${owner.pid}-${n}`;
    const folder = join(runsFolder, `${name}.${owner.startTime}`);
    try {
      mkdirSync(folder, { mode: 0o711 });
      return { name, folder };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
  }
}

/** Returns all runs on this machine that have a folder, with their owners. */
export function findRuns(): (Run & { owner: ProcessIdentity; alive: boolean })[] {
  return readdirSync(runsFolder).flatMap((entry) => {
    const [, name, pid, startTime] = folderName.exec(entry) ?? [];
    if (!name || !startTime) return [];
    const owner: ProcessIdentity = { pid: Number(pid), startTime };
    return { name, folder: join(runsFolder, entry), owner, alive: isAlive(owner) };
  });
}
