import { CACHE_FOLDER } from "../files/cache-folder.ts";
import { createWriteStream } from "node:fs";
import { statfs } from "node:fs/promises";
import { addAbortSignal } from "node:stream";
import { pipeline } from "node:stream/promises";
import { newRunId } from "../run/run-id.ts";
import { isNoSpace } from "../files/no-space.ts";
import { openInput } from "../image/archive/archive-input.ts";
import { decompressArchive } from "../image/archive/decompress-archive.ts";
import { bytes } from "../output/describe.ts";
import { Failure } from "../output/errors.ts";
import type { Output } from "../output/output.ts";
import { openSpool } from "../run/spool.ts";
import { layerFailure } from "../store/layer-failure.ts";

/** Of what was free on the cache folder's disk, the part that an archive may take: the rest of the machine needs some, too. */
const MAY_TAKE = 0.9;

export interface SpoolOptions {
  env: NodeJS.ProcessEnv;
  output: Output;
  signal: AbortSignal;
}

/** A tar in the cache folder; it goes when this is disposed of. */
export interface SpooledArchive extends AsyncDisposable {
  path: string;
}

/**
 * Copies an archive that cannot be read where it is, from a pipe or packed as a whole, into the cache folder, unpacked: an image is told by what
 * comes last in such an archive, and its layers are read when they are asked for. Nothing is left when it fails.
 *
 * Fails with `no-space` where it would fill the disk, with `InvalidImage` for what is no archive, and with the signal's reason.
 */
export async function spoolArchive(path: string, { env, output, signal }: SpoolOptions): Promise<SpooledArchive> {
  const spool = await openSpool(env, newRunId());
  const file = spool.pathFor("archive.tar");
  try {
    const { bavail, bsize } = await statfs(spool.pathFor("."));
    const room = Math.floor(bavail * bsize * MAY_TAKE);
    output.detail(`reading ${path} into the cache folder, where there is room for ${bytes(room)}`);
    const onBytes = (current: number): void => output.progress({ stage: "reading the archive", current });
    const source = addAbortSignal(signal, await openInput(path)); // else it would be waited for when nobody writes
    try {
      const tar = upTo(room, decompressArchive(source), onBytes);
      await pipeline(tar, createWriteStream(file, { flags: "wx", mode: 0o600 }), { signal });
    } finally {
      source.destroy();
    }
    return { path: file, [Symbol.asyncDispose]: async () => await spool[Symbol.asyncDispose]() };
  } catch (error) {
    await spool[Symbol.asyncDispose]();
    throw signal.aborted ? signal.reason : isNoSpace(error) ? layerFailure(error, "sent") : error;
  }
}

async function* upTo(
  room: number,
  chunks: AsyncIterable<Buffer>,
  onBytes: (current: number) => void,
): AsyncGenerator<Buffer> {
  let taken = 0;
  for await (const chunk of chunks) {
    taken += chunk.length;
    if (taken > room) throw noRoom(room);
    onBytes(taken);
    yield chunk;
  }
}

function noRoom(room: number): Failure {
  return new Failure(
    "no-space",
    `the archive is larger, unpacked, than the ${bytes(room)} that it may take of the cache folder's disk`,
    {
      expected: `room for all of it in ${CACHE_FOLDER}, for it cannot be read where it is`,
      hint: "Free some, name a folder on a larger disk with XDG_CACHE_HOME, or give the archive as a plain file.",
    },
  );
}
