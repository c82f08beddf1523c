import { createWriteStream } from "node:fs";
import { addAbortSignal } from "node:stream";
import { pipeline } from "node:stream/promises";
import { newRunId } from "../../run/run-id.ts";
import { CACHE_FOLDER } from "../../files/cache-folder.ts";
import { freeBytes } from "../../files/free-bytes.ts";
import { isNoSpace } from "../../files/no-space.ts";
import { openInput } from "../../image/open/archive-input.ts";
import { decompressArchive } from "../../image/open/decompress-archive.ts";
import { bytes } from "../../output/describe.ts";
import { Failure } from "../../output/errors.ts";
import type { Output } from "../../output/output.ts";
import { openSpool } from "../../run/spool.ts";
import { removeDeadSpools } from "../../run/spool-folder.ts";
import { layerFailure } from "../../store/layer-failure.ts";

/** The share of the free space on the cache folder's disk that an archive may fill: other programs need some. */
const MAX_FILLED = 0.9;

export interface SpoolOptions {
  env: NodeJS.ProcessEnv;
  output: Output;
  signal: AbortSignal;
  /** True for a dry run, which changes nothing: the spools of killed runs stay. */
  dryRun?: boolean | undefined;
}

/** A tar in the cache folder. Disposing removes it. */
export interface SpooledArchive extends AsyncDisposable {
  path: string;
}

/**
 * Copies an archive into the cache folder, decompressed. An archive from a pipe, or compressed as a whole, cannot be read in place, because
 * its manifest is at the end, and its layers are read when they are fetched. Leaves no file if it fails.
 *
 * Rejects with `no-space` if the archive would fill the disk, with `InvalidImage` if it is not an archive, and with the signal's reason.
 */
export async function spoolArchive(
  path: string,
  { env, output, signal, dryRun }: SpoolOptions,
): Promise<SpooledArchive> {
  if (!dryRun) await removeDeadSpools(env); // they may occupy the space
  const spool = await openSpool(env, newRunId());
  const file = spool.pathFor("archive.tar");
  try {
    const free = await freeBytes(spool.folder);
    const limit = free && Math.floor(free.bytes * MAX_FILLED);
    output.detail({ code: "archive-spooled", path, ...(limit !== undefined && { bytesFree: limit }) });
    const onBytes = (current: number): void => output.progress({ stage: "reading-archive", current });
    const source = addAbortSignal(signal, await openInput(path)); // a pipe without a writer never ends
    try {
      const tar = refuseAbove(limit ?? Infinity, decompressArchive(source), onBytes);
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

async function* refuseAbove(
  limit: number,
  chunks: AsyncIterable<Buffer>,
  onBytes: (current: number) => void,
): AsyncGenerator<Buffer> {
  let total = 0;
  for await (const chunk of chunks) {
    total += chunk.length;
    if (total > limit) throw noSpace(limit);
    onBytes(total);
    yield chunk;
  }
}

function noSpace(limit: number): Failure {
  return new Failure(
    "no-space",
    `the archive, decompressed, is larger than the ${bytes(limit)} that it may use on the cache folder's disk`,
    {
      expected: `room for the whole archive in ${CACHE_FOLDER}, because it cannot be read in place`,
      hint: "Free some space, name a folder on a larger disk with XDG_CACHE_HOME, or give the archive as a plain file.",
    },
  );
}
