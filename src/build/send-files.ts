import type { Duplex } from "node:stream";
import type { BuildContext } from "../build-context/build-context.ts";
import { KnownPieces } from "../build-context/delta/known-pieces.ts";
import { sendContext } from "../build-context/delta/send-context.ts";
import type { Digest } from "../image/digest.ts";
import { newRunId } from "../run/run-id.ts";
import type { Context } from "../transfer.ts";

/** Sends the parts of a context that the builder's side lacks over a stream, and remembers the pieces of its files for the next build. */
export async function sendFiles(
  stream: Duplex,
  files: BuildContext,
  project: Digest,
  { output, signal, env }: Context,
): Promise<void> {
  const known = await KnownPieces.open({ env, runId: newRunId(), project });
  await sendContext(stream, files, {
    known,
    signal,
    onProgress: ({ sent, wanted }) =>
      output.progress({
        stage: "sending-context",
        current: sent,
        ...(wanted !== undefined && { total: Math.max(wanted, sent) }),
      }),
  });
}
