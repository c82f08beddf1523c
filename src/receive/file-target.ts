import { createWriteStream } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { pipeline } from "node:stream/promises";
import { refuseAbsent } from "../image/archive/absent.ts";
import type { ArchivedImage } from "../image/archive/image-archive.ts";
import { openArchive } from "../image/archive/open.ts";
import type { FilePlace } from "../image/location.ts";
import { beginningOf, partOf, removeParts } from "../store/partial-file.ts";
import { openSpool } from "../store/spool.ts";
import { archiveBytes, arrivedLayers } from "./archive-bytes.ts";
import type { Arrival, ArrivalOptions } from "./arrived-image.ts";
import { counted } from "./incoming-layer.ts";
import { findDestination } from "./destination.ts";
import { nameInFile } from "./name-in-file.ts";
import { explainingFor } from "./location-errors.ts";
import { receive } from "./fetch-image.ts";
import { findSeedsInFile } from "../rebuild/delta-bases-in-file.ts";
import { streamTarget } from "./stream-target.ts";
import type { Target } from "./target.ts";

/**
 * An archive to be written as `docker save` does, or as a tar of an OCI layout; no engine is needed. A file is written beside the one that may
 * be there, and takes its place when it has been proven; stdout and pipes are streamed to.
 *
 * @param stdoutIsTunnel this side was started by the other, and speaks to it there
 */
export async function archiveTarget(place: FilePlace, stdoutIsTunnel: boolean): Promise<Target> {
  const destination = await findDestination(place, stdoutIsTunnel);
  return destination.kind === "file" ? fileTarget(place, destination.path) : streamTarget(place, destination);
}

/** `path`: of the file, where the place names a link to it. */
function fileTarget(place: FilePlace, path: string): Target {
  const { kind } = place;
  const parts = new Set<string>();
  let moved = 0;
  const explaining = explainingFor(place);
  const written = async (name: string): Promise<ArchivedImage> => {
    await using archive = await openArchive(kind, parts.has(name) ? name : path);
    return refuseAbsent(await archive.find());
  };
  return {
    address: place.path,
    get moved() {
      return moved;
    },
    nameFor: (image) => nameInFile(place, image).ref,
    tidy: async () => await removeParts(dirname(path), beginningOf(path)),
    async arrive(options) {
      const part = partOf(path, options.run);
      parts.add(part);
      return await explaining(arrive(place, part, options, (bytes) => (moved += bytes)));
    },
    async inspect(name) {
      const { configDigest: id, diffIds } = await explaining(written(name));
      return { id, diffIds };
    },
    ...(kind !== "docker-archive" && {
      manifestOf: async (name) => (await explaining(written(name))).manifest?.descriptor.digest,
    }),
    tag: async (from) => await explaining(rename(from, path)),
    [Symbol.asyncDispose]: async () => {},
  };
}

async function arrive(
  place: FilePlace,
  part: string,
  options: ArrivalOptions,
  onMoved: (bytes: number) => void,
): Promise<Arrival> {
  const { about, image, env, run, signal, onProgress } = options;
  // The file that is to be replaced.
  await using seeds = options.whyWhole === undefined ? await findSeedsInFile(place, about) : undefined;
  await using spool = await openSpool(env, run);
  const received = await receive(options, about.diffIds, spool, seeds);
  const progress = { stage: "storing", current: 0 };
  onProgress(progress);
  const onBytes = (count: number): void => {
    onMoved(count);
    progress.current += count;
    onProgress(progress);
  };
  const named = { ...received, name: nameInFile(place, image), keeps: about.manifest !== undefined };
  const { tar } = await archiveBytes(place.kind, named, spool, onMoved);
  // A new one always: a link that somebody has put in its place is not followed, nor is another's file written to.
  const file = createWriteStream(part, { flags: "wx", flush: true });
  const remove = async (): Promise<void> => await rm(part, { force: true });
  try {
    await pipeline(counted(tar as AsyncIterable<Buffer>, onBytes), file, { signal });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") await remove();
    throw error;
  }
  return { name: part, ...arrivedLayers(received), [Symbol.asyncDispose]: remove };
}
