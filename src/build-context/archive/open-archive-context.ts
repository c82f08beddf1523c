import { isatty } from "node:tty";
import { Failure } from "../../output/errors.ts";
import type { RunId } from "../../run/run-id.ts";
import { openSpool } from "../../run/spool.ts";
import { timeoutsFor } from "../../streams/timeouts.ts";
import type { BuildContext } from "../build-context.ts";
import type { ContextLimits } from "../limits.ts";
import { openTarContext } from "../tar/open-tar-context.ts";
import { ARCHIVE_LIMITS } from "./limits.ts";
import { unpackArchive } from "./unpack-archive.ts";
import { upload } from "./upload.ts";

export interface ArchiveContextOptions {
  env: NodeJS.ProcessEnv;
  runId: RunId;
  signal: AbortSignal;
  /** --strip: the number of folders to remove from the beginning of each path */
  strip?: number | undefined;
  limits?: Partial<ContextLimits> | undefined;
  /** Refuses links that lead out of the tree, including links to files of the image: for archives from strangers */
  refuseLinksOut?: boolean | undefined;
  /** --timeout: ms without data */
  timeout?: number | undefined;
  /** The hint for an archive that arrives too slowly */
  slowHint?: string | undefined;
  /** Called with the number of bytes that have arrived */
  onBytes?: ((count: number) => void) | undefined;
}

/**
 * Opens an archive that arrives on a stream as a context: a tar, plain or compressed, or a zip. The first bytes identify the format.
 * Unpacks the archive into the spool, which the context removes when it is disposed of. Reads `source` to its end, or leaves it to its
 * owner when something fails.
 *
 * @throws Failure `usage` for a terminal; `context-invalid` for input that is not an archive, is truncated or exceeds a limit, and for an
 *   entry that leads out of it, is a device or exists twice; `no-space`
 */
export async function openArchiveContext(
  source: AsyncIterable<Buffer>,
  options: ArchiveContextOptions,
): Promise<BuildContext> {
  const { env, runId, signal, strip = 0, refuseLinksOut = false, timeout, slowHint, onBytes } = options;
  if (source === (process.stdin as unknown) && isatty(0)) throw terminal();
  const limits = { ...ARCHIVE_LIMITS, ...options.limits };
  const spool = await openSpool(env, runId);
  const close = async (): Promise<void> => await spool[Symbol.asyncDispose]();
  try {
    const arriving = upload(source, timeoutsFor(timeout).answer, signal, slowHint);
    const path = await unpackArchive(arriving, spool, limits, { signal, onBytes });
    const tar = await openTarContext(path, { strip, limits, refuseLinksOut, refuseDuplicates: true });
    return {
      entries: tar.entries,
      read: (file, stop) => tar.read(file, stop),
      async [Symbol.asyncDispose]() {
        await tar[Symbol.asyncDispose]();
        await close();
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

function terminal(): Failure {
  return new Failure("usage", "stdin is a terminal, and the archive is read from it", {
    expected: "an archive of a source tree on stdin: tar, compressed or not, or zip",
    hint: "For instance git archive HEAD | docker-over-ssh build …",
  });
}
