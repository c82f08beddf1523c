import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { runsFolder } from "./paths.ts";
import { identify, isAlive, type ProcessIdentity } from "./processes.ts";

/** One life of a test bed. All that it makes carries its name, so that it can be found and removed. */
export interface Run {
  /** Unique among the runs that are alive; short enough for a network device's name (15 bytes). */
  name: string;
  folder: string;
}

/** The folder's name says whose it is, so there is no moment in which a run has no known owner. */
const folderName = /^(dos(\d+)-\d+)\.(\d+)$/;

/** Makes the folder of a run that belongs to this process. */
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

/** All runs on this machine that have left a trace, with the process that each belongs to. */
export function findRuns(): (Run & { owner: ProcessIdentity; alive: boolean })[] {
  return readdirSync(runsFolder).flatMap((entry) => {
    const [, name, pid, startTime] = folderName.exec(entry) ?? [];
    if (!name || !startTime) return [];
    const owner: ProcessIdentity = { pid: Number(pid), startTime };
    return { name, folder: join(runsFolder, entry), owner, alive: isAlive(owner) };
  });
}
