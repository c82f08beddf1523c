import { digestOf, type Digest } from "../image/digest.ts";
import { parseConfig } from "../image/config.ts";
import type { FileLocation } from "../image/location.ts";
import { Failure } from "../output/errors.ts";
import { openSpool } from "../run/spool.ts";
import { NoReader, openPipe, stdoutSink } from "../streams/byte-sink.ts";
import { archiveStream, arrivedLayers, type ArchiveStream } from "./archive-stream.ts";
import type { ReceivedImage, ReceiveOptions } from "./received-image.ts";
import { countBytes } from "../streams/count-bytes.ts";
import type { Destination } from "./destination.ts";
import { nameInFile } from "./name-in-file.ts";
import { withLocationErrors } from "./location-errors.ts";
import { receive } from "./fetch-image.ts";
import type { Target } from "./target.ts";

/** ms for somebody to read a named pipe when all has come: who is to read it is started beside us, not after us. */
const PATIENCE = 60_000;

type Streamed = Exclude<Destination, { kind: "file" }>;

/** An image that has come, and is not written yet. */
interface Waiting {
  image: { id: Digest; diffIds: Digest[]; manifest: Digest | undefined };
  write: () => Promise<void>;
}

/**
 * What is read once, as it comes: stdout, or a pipe. Nothing is written before all of the image is here and proven, because what has been
 * written cannot be taken back: it is done when the image is given its name.
 */
export function streamTarget(location: FileLocation, destination: Streamed): Target {
  const address = destination.kind === "stdout" ? "stdout" : location.path;
  const explaining = withLocationErrors({ ...location, path: address });
  let waiting: Waiting | undefined;
  let moved = 0;
  return {
    address,
    get moved() {
      return moved;
    },
    nameFor: (image) => nameInFile(location, image).ref,
    tidy: async () => [],
    async receive(options) {
      const { arrived, ...rest } = await explaining(
        receiveInto(location, destination, options, (bytes) => (moved += bytes)),
      );
      waiting = rest;
      return arrived;
    },
    inspect: async () => waiting?.image,
    ...(location.kind !== "docker-archive" && { manifestOf: async () => waiting?.image.manifest }),
    async tag() {
      if (waiting === undefined) throw new Error("nothing has arrived");
      await explaining(waiting.write().catch((error: unknown) => Promise.reject(leftAlone(error, address))));
    },
    [Symbol.asyncDispose]: async () => {},
  };
}

async function receiveInto(
  location: FileLocation,
  destination: Streamed,
  options: ReceiveOptions,
  onMoved: (bytes: number) => void,
): Promise<Waiting & { arrived: ReceivedImage }> {
  const { about, image, env, run } = options;
  const spool = await openSpool(env, run);
  try {
    const received = await receive(options, about.diffIds, spool, undefined);
    const named = { ...received, name: nameInFile(location, image), keeps: about.manifest !== undefined };
    const archive = await archiveStream(location.kind, named, spool, onMoved);
    const { config } = received;
    const dispose = async (): Promise<void> => await spool[Symbol.asyncDispose]();
    return {
      image: { id: digestOf(config), diffIds: parseConfig(config).diffIds, manifest: archive.manifest },
      write: async () => await write(archive, destination, options, onMoved),
      arrived: { name: "what has arrived", ...arrivedLayers(received), [Symbol.asyncDispose]: dispose },
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
  const progress = { stage: "storing", current: 0, total: tar.size };
  onProgress(progress);
  const sink =
    destination.kind === "stdout"
      ? stdoutSink(signal)
      : await openPipe(destination.path, {
          signal,
          patience: PATIENCE,
          onWait: () => output.note({ code: "waiting-for-reader", path: destination.path }),
        });
  const onBytes = (count: number): void => {
    onMoved(count);
    progress.current += count;
    onProgress(progress);
  };
  await sink.write(countBytes(tar as AsyncIterable<Buffer>, onBytes));
}

function leftAlone(error: unknown, address: string): unknown {
  const isBrokenConnection = (error as NodeJS.ErrnoException).code === "EPIPE";
  if (!isBrokenConnection && !(error instanceof NoReader)) return error;
  return new Failure(
    "transfer-failed",
    isBrokenConnection ? `${address} is not read any more` : (error as Error).message,
    {
      expected: "a program that reads the archive to its end",
      hint: "Look at what that program says, then run the same command again: the layers need not come again.",
      cause: error,
    },
  );
}
