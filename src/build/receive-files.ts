import type { Duplex } from "node:stream";
import type { BuildContext } from "../build-context/build-context.ts";
import { receiveContext } from "../build-context/delta/receive-context.ts";
import { StoredContext } from "../build-context/delta/stored-context.ts";
import type { Digest } from "../image/digest.ts";
import { newRunId } from "../run/run-id.ts";
import type { Context } from "../transfer.ts";

/** Receives the files of a build. Reuses the pieces of the project's stored context on this side. The caller disposes of the files. */
export async function receiveFiles(
  stream: Duplex,
  project: Digest,
  { output, signal, env }: Context,
): Promise<BuildContext> {
  const onNotStored = (error: string): void => output.warn({ code: "context-not-kept", error });
  const stored = new StoredContext({ env, runId: newRunId(), project, onNotStored });
  return await receiveContext(stream, stored, {
    signal,
    onWait: () => output.note({ code: "waiting-for-context" }),
  });
}
