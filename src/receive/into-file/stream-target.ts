import { digestOf, type Digest } from "../../image/digest.ts";
import { parseConfig } from "../../image/config.ts";
import type { FileLocation } from "../../image/location.ts";
import { Failure } from "../../output/errors.ts";
import { writeIndexArchive } from "../../image/oci/write-index-content.ts";
import { openSpool } from "../../run/spool.ts";
import { NoReader, openPipe, stdoutSink } from "../../streams/byte-sink.ts";
import type { ArchiveMaker } from "./archive-maker.ts";
import { archiveCounts, type ArchiveStream } from "./archive-stream.ts";
import type { ReceiveOptions } from "../receive-options.ts";
import type { ReceivedImage } from "../received-image.ts";
import { countBytes } from "../../streams/count-bytes.ts";
import type { Destination } from "./destination.ts";
import { namesInFile, refsOf } from "./name-in-file.ts";
import { locationErrors } from "./location-errors.ts";
import { fetchImage } from "../fetch-image.ts";
import { refuseDockerArchive } from "./index-in-archive.ts";
import { planLayers } from "../plan-layers.ts";
import { refuseWithoutSpace, spaceInCache } from "../free-space.ts";
import type { Target } from "../target.ts";

/** ms to wait for a reader of a named pipe when the image is complete: the reader should run at the same time. */
const READER_TIMEOUT = 60_000;

type Streamed = Exclude<Destination, { kind: "file" }>;

/** A fetched image that has not yet been written. */
interface UnwrittenImage {
  image: { id: Digest; diffIds: Digest[]; manifest: Digest | undefined };
  write: () => Promise<void>;
  /** The size of the archive. */
  bytes: number;
}

/**
 * Returns stdout or a pipe as a target. Nothing is written before the whole image has been fetched and verified, because output cannot be
 * undone. `tag` writes the archive.
 */
export function streamTarget(location: FileLocation, destination: Streamed, maker: ArchiveMaker): Target {
  const address = destination.kind === "stdout" ? "stdout" : location.path;
  const explain = locationErrors({ ...location, path: address });
  let unwritten: UnwrittenImage | undefined;
  let moved = 0;
  return {
    address,
    get moved() {
      return moved;
    },
    get written() {
      return unwritten?.bytes;
    },
    namesFor: (images) => refsOf(namesInFile(location, images)),
    removeLeftovers: async () => [],
    indexes() {
      refuseDockerArchive(location.kind, address);
      return {
        store: "stream",
        present: async () => new Set(),
        space: async (options, wanted) => [await spaceInCache(options, wanted)],
        async put(index, files, options) {
          const tar = writeIndexArchive(index, files, namesInFile(location, options.names));
          const { digest } = index.root.descriptor;
          const onBytes = (bytes: number): void => void (moved += bytes);
          unwritten = {
            image: { id: digest, diffIds: [], manifest: digest },
            bytes: tar.size,
            write: async () => await write({ tar, manifest: digest }, destination, options, onBytes),
          };
          return { name: "the received image", [Symbol.asyncDispose]: async () => {} };
        },
        digestOf: async () => unwritten?.image.manifest,
      };
    },
    async receive(options) {
      const { received, ...rest } = await explain(
        receiveInto(destination, maker, options, (bytes) => (moved += bytes)),
      );
      unwritten = rest;
      return received;
    },
    async plan(options) {
      const wanted = maker.wanted(options.about);
      const space = [...maker.spaces(options.about, wanted), await spaceInCache(options, wanted)];
      refuseWithoutSpace(space);
      return { ...(await planLayers(options, wanted, undefined, undefined)), store: "stream", room: space };
    },
    inspect: async () => unwritten?.image,
    ...(location.kind !== "docker-archive" &&
      !maker.isPartial && { manifestOf: async () => unwritten?.image.manifest }),
    async tag() {
      if (unwritten === undefined) throw new Error("no image was received");
      await explain(unwritten.write().catch((error: unknown) => Promise.reject(writeFailure(error, address))));
    },
    [Symbol.asyncDispose]: async () => {},
  };
}

async function receiveInto(
  destination: Streamed,
  maker: ArchiveMaker,
  options: ReceiveOptions,
  onMoved: (bytes: number) => void,
): Promise<UnwrittenImage & { received: ReceivedImage }> {
  const { about, env, runId } = options;
  const wanted = maker.wanted(about);
  refuseWithoutSpace([...maker.spaces(about, wanted), await spaceInCache(options, wanted)]);
  const spool = await openSpool(env, runId);
  try {
    const fetched = await fetchImage(options, wanted, spool, undefined);
    const archive = await maker.make(fetched, options, spool, onMoved);
    const { bytesFound = fetched.bytesFound } = archive;
    const { config } = fetched;
    const dispose = async (): Promise<void> => await spool[Symbol.asyncDispose]();
    return {
      image: { id: digestOf(config), diffIds: parseConfig(config).diffIds, manifest: archive.manifest },
      bytes: archive.tar.size,
      write: async () => await write(archive, destination, options, onMoved),
      received: {
        name: "the received image",
        ...archiveCounts({ ...fetched, bytesFound }, about),
        [Symbol.asyncDispose]: dispose,
      },
    };
  } catch (error) {
    await spool[Symbol.asyncDispose]();
    throw error;
  }
}

async function write(
  { tar }: ArchiveStream,
  destination: Streamed,
  { signal, onProgress, output }: ReceiveOptions,
  onMoved: (bytes: number) => void,
): Promise<void> {
  const progress = { stage: "storing" as const, current: 0, total: tar.size };
  onProgress(progress);
  const sink =
    destination.kind === "stdout"
      ? stdoutSink(signal)
      : await openPipe(destination.path, {
          signal,
          timeout: READER_TIMEOUT,
          onWait: () => output.note({ code: "waiting-for-reader", path: destination.path }),
        });
  const onBytes = (count: number): void => {
    onMoved(count);
    progress.current += count;
    onProgress(progress);
  };
  await sink.write(countBytes(tar as AsyncIterable<Buffer>, onBytes));
}

function writeFailure(error: unknown, address: string): unknown {
  const isClosed = (error as NodeJS.ErrnoException).code === "EPIPE";
  if (!isClosed && !(error instanceof NoReader)) return error;
  return new Failure(
    "transfer-failed",
    isClosed ? `the reader of ${address} has closed it` : (error as Error).message,
    {
      expected: "a program that reads the archive to its end",
      hint: "Look at the output of that program, then run the same command again: the layers are not sent again.",
      cause: error,
    },
  );
}
