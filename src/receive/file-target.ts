import { createWriteStream } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { pipeline } from "node:stream/promises";
import { refuseAbsentLayers } from "../image/archive/absent-layer.ts";
import type { ArchivedImage } from "../image/archive/image-archive.ts";
import { openArchive } from "../image/open-archive.ts";
import type { FileLocation } from "../image/location.ts";
import { partialFilePrefix, partialFile, removePartialFiles } from "../store/partial-file.ts";
import { openSpool } from "../run/spool.ts";
import { archiveStream, arrivedLayers } from "./archive-stream.ts";
import type { ReceivedImage, ReceiveOptions } from "./received-image.ts";
import { countBytes } from "../streams/count-bytes.ts";
import { findDestination } from "./destination.ts";
import { nameInFile } from "./name-in-file.ts";
import { withLocationErrors } from "./location-errors.ts";
import { receive } from "./fetch-image.ts";
import { findDeltaBasesInFile } from "../rebuild/delta-bases-in-file.ts";
import { streamTarget } from "./stream-target.ts";
import type { Target } from "./target.ts";

/**
 * An archive to be written as `docker save` does, or as a tar of an OCI layout; no engine is needed. A file is written beside the one that may
 * be there, and takes its place when it has been proven; stdout and pipes are streamed to.
 *
 * @param stdoutIsTunnel this side was started by the other, and speaks to it there
 */
export async function archiveTarget(location: FileLocation, stdoutIsTunnel: boolean): Promise<Target> {
  const destination = await findDestination(location, stdoutIsTunnel);
  return destination.kind === "file" ? fileTarget(location, destination.path) : streamTarget(location, destination);
}

/** `path`: of the file, where the place names a link to it. */
function fileTarget(location: FileLocation, path: string): Target {
  const { kind } = location;
  const parts = new Set<string>();
  let moved = 0;
  const explaining = withLocationErrors(location);
  const written = async (name: string): Promise<ArchivedImage> => {
    await using archive = await openArchive(kind, parts.has(name) ? name : path);
    return refuseAbsentLayers(await archive.find());
  };
  return {
    address: location.path,
    get moved() {
      return moved;
    },
    nameFor: (image) => nameInFile(location, image).ref,
    tidy: async () => await removePartialFiles(dirname(path), partialFilePrefix(path)),
    async receive(options) {
      const part = partialFile(path, options.run);
      parts.add(part);
      return await explaining(receiveInto(location, part, options, (bytes) => (moved += bytes)));
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

async function receiveInto(
  location: FileLocation,
  part: string,
  options: ReceiveOptions,
  onMoved: (bytes: number) => void,
): Promise<ReceivedImage> {
  const { about, image, env, run, signal, onProgress } = options;
  // The file that is to be replaced.
  await using deltaBases =
    options.noDeltaReason === undefined ? await findDeltaBasesInFile(location, about) : undefined;
  await using spool = await openSpool(env, run);
  const received = await receive(options, about.diffIds, spool, deltaBases);
  const progress = { stage: "storing", current: 0 };
  onProgress(progress);
  const onBytes = (count: number): void => {
    onMoved(count);
    progress.current += count;
    onProgress(progress);
  };
  const named = { ...received, name: nameInFile(location, image), keeps: about.manifest !== undefined };
  const { tar } = await archiveStream(location.kind, named, spool, onMoved);
  // A new one always: a link that somebody has put in its place is not followed, nor is another's file written to.
  const file = createWriteStream(part, { flags: "wx", flush: true });
  const remove = async (): Promise<void> => await rm(part, { force: true });
  try {
    await pipeline(countBytes(tar as AsyncIterable<Buffer>, onBytes), file, { signal });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") await remove();
    throw error;
  }
  return { name: part, ...arrivedLayers(received), [Symbol.asyncDispose]: remove };
}
