import { dirname, join } from "node:path";
import { CACHE_FOLDER, cacheFolder } from "../files/cache-folder.ts";
import { freeBytes, type FreeBytes } from "../files/free-bytes.ts";
import type { Digest } from "../image/digest.ts";
import { bytes } from "../output/describe.ts";
import { Failure } from "../output/errors.ts";
import type { PlannedRoom } from "../output/events.ts";
import { freeFiles, RESUME_CACHE_FOLDER } from "../store/resume-cache-files.ts";
import type { EngineReceiveOptions, ReceiveOptions } from "./receive-options.ts";

/**
 * The share of the needed bytes that must be free. They are the minimum, but they include tar headers and padding, so a store that writes
 * only the files may need slightly less (docs/decisions/space-is-checked-early.md).
 */
const SURELY_NEEDED = 0.9;

/** A disk of this side, and the bytes that are needed on it. */
export interface DiskSpace extends PlannedRoom {
  /** Whether it is certain that more bytes than `free` do not fit. */
  isLimit?: boolean;
}

type SpaceOptions = Pick<ReceiveOptions, "about" | "env">;
type Measure = typeof freeBytes;

/** Returns the space that layers need in the data folder of an engine. Free bytes are known if that folder is on this machine. */
export async function spaceInEngine(
  { about, info: { dataFolder } }: Pick<EngineReceiveOptions, "about" | "info">,
  wanted: readonly Digest[],
  measure: Measure = freeBytes,
): Promise<DiskSpace> {
  const free = dataFolder === undefined ? undefined : await measure(dataFolder, { forRoot: true });
  return spaceOf("engine", neededFor(about, wanted), free);
}

/** Returns the space that layers need in the cache folder, which contains the layers until the target has stored them. */
export async function spaceInCache(
  { about, env }: SpaceOptions,
  wanted: readonly Digest[],
  measure: Measure = freeBytes,
): Promise<DiskSpace> {
  const folder = cacheFolder(env);
  const free = folder === undefined ? undefined : await freeNear(folder, measure);
  // Files that are stored for the next run can be removed.
  const cachedFiles = folder === undefined ? [] : await freeFiles(join(folder, RESUME_CACHE_FOLDER));
  const cachedBytes = cachedFiles.reduce((sum, { allocated }) => sum + allocated, 0);
  return spaceOf("cache", neededFor(about, wanted), free && { ...free, bytes: free.bytes + cachedBytes });
}

/** Returns the space that layers need for an archive or a layout: on its own disk, and in the cache folder. */
export async function spaceForFiles(
  path: string,
  options: SpaceOptions,
  wanted: readonly Digest[],
  measure: Measure = freeBytes,
): Promise<DiskSpace[]> {
  const target = spaceOf("target", neededFor(options.about, wanted), await freeNear(path, measure));
  return [target, await spaceInCache(options, wanted, measure)];
}

/** Returns the space that layers need in an engine that cannot be reached; an empty array if its have list has no free bytes. */
export function spaceInList(
  free: number | undefined,
  about: SpaceOptions["about"],
  wanted: readonly Digest[],
): DiskSpace[] {
  return free === undefined ? [] : [spaceOf("engine", neededFor(about, wanted), { bytes: free, isLimit: true })];
}

/** Throws a `no-space` Failure if it is certain that the needed bytes do not fit. Accepts unknown sizes and disks. */
export function refuseWithoutSpace(spaces: readonly DiskSpace[]): void {
  for (const { disk, needed = 0, free, isLimit = false } of spaces) {
    if (free === undefined || !isLimit || free >= needed * SURELY_NEEDED) continue;
    const { where, hint } = WORDS[disk];
    throw new Failure(
      "no-space",
      `the disk of ${where} has ${bytes(free)} of free space, and the missing layers need more`,
      {
        expected: `at least ${bytes(needed)}, the size of these layers as they are stored`,
        hint,
      },
    );
  }
}

const WORDS: Record<PlannedRoom["disk"], { where: string; hint: string }> = {
  engine: {
    where: "the receiving engine",
    hint: "Nothing was sent. Free some space on that disk: docker system df shows the usage, docker system prune removes unused data.",
  },
  cache: {
    where: CACHE_FOLDER,
    hint: "Nothing was sent. Free some space, or name a folder on a larger disk with XDG_CACHE_HOME.",
  },
  target: { where: "the target", hint: "Nothing was sent. Free some space, or name another path with --to." },
};

/**
 * Returns the minimum bytes that layers take: the size that their source stores, each layer once. Undefined if the sizes are not known
 * early.
 */
function neededFor({ diffIds, sizes }: ReceiveOptions["about"], wanted: readonly Digest[]): number | undefined {
  if (sizes === undefined) return undefined;
  return [...new Set(wanted)].reduce((sum, diffId) => sum + (sizes[diffIds.indexOf(diffId)] ?? 0), 0);
}

function spaceOf(disk: PlannedRoom["disk"], needed: number | undefined, free: FreeBytes | undefined): DiskSpace {
  return {
    disk,
    ...(needed !== undefined && { needed }),
    ...(free && { free: free.bytes, isLimit: free.isLimit }),
  };
}

/** Returns the free bytes of the disk that contains a path, or will contain it. */
async function freeNear(path: string, measure: Measure): Promise<FreeBytes | undefined> {
  const free = await measure(path);
  if (free !== undefined || dirname(path) === path) return free;
  return await freeNear(dirname(path), measure);
}
