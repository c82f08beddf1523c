import { createWriteStream } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { pipeline } from "node:stream/promises";
import { refuseAbsentLayers } from "../../image/archive/absent-layer.ts";
import type { ArchivedImage } from "../../image/archive/image-archive.ts";
import { writeIndexArchive } from "../../image/oci/write-index-content.ts";
import type { TarStream } from "../../image/tar/write-tar.ts";
import { openArchive } from "../../image/open/open-archive.ts";
import type { FileLocation } from "../../image/location.ts";
import { partialFilePrefix, partialFile, removePartialFiles } from "../../run/partial-file.ts";
import { openSpool } from "../../run/spool.ts";
import { wholeArchives, type ArchiveMaker } from "./archive-maker.ts";
import { archiveCounts } from "./archive-stream.ts";
import type { ReceiveOptions } from "../receive-options.ts";
import type { ReceivedImage } from "../received-image.ts";
import { countBytes } from "../../streams/count-bytes.ts";
import { findDestination } from "./destination.ts";
import { namesInFile, refsOf } from "./name-in-file.ts";
import { locationErrors } from "./location-errors.ts";
import { fetchImage } from "../fetch-image.ts";
import { findDeltaBasesInFile } from "../../rebuild/delta-bases-in-file.ts";
import { refuseDockerArchive, rootInArchive } from "./index-in-archive.ts";
import { partialArchives, type PartialOptions } from "./partial-archives.ts";
import { planLayers } from "../plan-layers.ts";
import { refuseWithoutSpace, spaceForFiles } from "../free-space.ts";
import { streamTarget } from "./stream-target.ts";
import type { Target } from "../target.ts";

/**
 * Returns a docker archive or an OCI archive as a target without an engine. A file is written as a partial file, and replaces an existing
 * file after verification. To stdout and pipes, the archive is streamed.
 *
 * @param stdoutIsTunnel true on the spawned side, whose stdout carries the tunnel
 * @param partial the options of a partial archive. If undefined, the archive contains the whole image
 */
export async function archiveTarget(
  location: FileLocation,
  stdoutIsTunnel: boolean,
  partial?: PartialOptions,
): Promise<Target> {
  const destination = await findDestination(location, stdoutIsTunnel);
  const maker = partial === undefined ? wholeArchives(location) : partialArchives(partial);
  return destination.kind === "file"
    ? fileTarget(location, destination.path, maker)
    : streamTarget(location, destination, maker);
}

/** @param path the path of the file, which `location` may name through a link */
function fileTarget(location: FileLocation, path: string, maker: ArchiveMaker): Target {
  const { kind } = location;
  const partialPaths = new Set<string>();
  let moved = 0;
  let archiveBytes: number | undefined;
  const explain = locationErrors(location);
  const written = async (name: string): Promise<ArchivedImage> => {
    await using archive = await openArchive(kind, partialPaths.has(name) ? name : path);
    const image = await archive.find();
    return maker.isPartial ? image : refuseAbsentLayers(image);
  };
  return {
    address: location.path,
    get moved() {
      return moved;
    },
    get written() {
      return archiveBytes;
    },
    namesFor: (images) => refsOf(namesInFile(location, images)),
    removeLeftovers: async () => await removePartialFiles(dirname(path), partialFilePrefix(path)),
    indexes() {
      refuseDockerArchive(kind, location.path);
      return {
        store: "archive",
        present: async () => new Set(),
        space: async (options, wanted) => await spaceForFiles(path, options, wanted),
        async put(index, files, options) {
          const partialPath = partialFile(path, options.runId);
          partialPaths.add(partialPath);
          const tar = writeIndexArchive(index, files, namesInFile(location, options.names));
          const remove = await explain(writePartialFile(partialPath, tar, options, (bytes) => (moved += bytes)));
          return { name: partialPath, [Symbol.asyncDispose]: remove };
        },
        digestOf: async (name, index) => await explain(rootInArchive(partialPaths.has(name) ? name : path, index)),
      };
    },
    async receive(options) {
      const partialPath = partialFile(path, options.runId);
      partialPaths.add(partialPath);
      const image = await explain(receiveInto(location, maker, partialPath, options, (bytes) => (moved += bytes)));
      ({ archiveBytes } = image);
      return image;
    },
    async plan(options) {
      const wanted = maker.wanted(options.about);
      const space = [...maker.spaces(options.about, wanted), ...(await spaceForFiles(path, options, wanted))];
      refuseWithoutSpace(space);
      await using deltaBases = await deltaBasesFor(location, options);
      return { ...(await planLayers(options, wanted, deltaBases, undefined)), store: "archive", room: space };
    },
    async inspect(name) {
      const { configDigest: id, diffIds } = await explain(written(name));
      return { id, diffIds };
    },
    ...(kind !== "docker-archive" &&
      !maker.isPartial && {
        manifestOf: async (name) => (await explain(written(name))).manifest?.descriptor.digest,
      }),
    tag: async (from) => await explain(rename(from, path)),
    [Symbol.asyncDispose]: async () => {},
  };
}

async function receiveInto(
  location: FileLocation,
  maker: ArchiveMaker,
  partialPath: string,
  options: ReceiveOptions,
  onMoved: (bytes: number) => void,
): Promise<ReceivedImage> {
  const { about, env, runId } = options;
  const wanted = maker.wanted(about);
  refuseWithoutSpace([...maker.spaces(about, wanted), ...(await spaceForFiles(partialPath, options, wanted))]);
  await using deltaBases = await deltaBasesFor(location, options);
  await using spool = await openSpool(env, runId);
  const fetched = await fetchImage(options, wanted, spool, deltaBases);
  const { tar, bytesFound = fetched.bytesFound } = await maker.make(fetched, options, spool, onMoved);
  const remove = await writePartialFile(partialPath, tar, options, onMoved);
  const counts = archiveCounts({ ...fetched, bytesFound }, about);
  return { name: partialPath, ...counts, archiveBytes: tar.size, [Symbol.asyncDispose]: remove };
}

/** Writes an archive into a new file. Returns how to remove it. */
async function writePartialFile(
  partialPath: string,
  tar: TarStream,
  { signal, onProgress }: ReceiveOptions,
  onMoved: (bytes: number) => void,
): Promise<() => Promise<void>> {
  const progress = { stage: "storing" as const, current: 0 };
  onProgress(progress);
  const onBytes = (count: number): void => {
    onMoved(count);
    progress.current += count;
    onProgress(progress);
  };
  // Always creates a new file, so that a link that another user has put there is not followed, and no other file is written to.
  const file = createWriteStream(partialPath, { flags: "wx", flush: true });
  const remove = async (): Promise<void> => await rm(partialPath, { force: true });
  try {
    await pipeline(countBytes(tar as AsyncIterable<Buffer>, onBytes), file, { signal });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") await remove();
    throw error;
  }
  return remove;
}

/** Opens the images in the file that is replaced. */
async function deltaBasesFor(location: FileLocation, { noDeltaReason, about }: ReceiveOptions) {
  return noDeltaReason === undefined ? await findDeltaBasesInFile(location, about) : undefined;
}
