import { writeFile } from "node:fs/promises";
import { buildOutputEvent } from "../build-log/build-output-event.ts";
import { findSource } from "../build-log/find-source.ts";
import { findEntry } from "../build-context/find-entry.ts";
import type { OpenedContext } from "../build-context/local-files.ts";
import type { FinishedBuild } from "../build.ts";
import { messageOf, Failure } from "../output/errors.ts";
import { buildOnRemote } from "../run-batch/build-on-remote.ts";
import type { BuildRequest } from "../request.ts";
import type { Context } from "../transfer.ts";
import type { Deploy } from "./deploy.ts";

export interface AfterBuild {
  deploy: Deploy | undefined;
  /** -q: the image ID is printed on stdout. */
  printsId: boolean;
  /** --iidfile */
  iidfile: string | undefined;
  /** --metadata-file */
  metadataFile: string | undefined;
}

/** Maximum bytes of a Dockerfile that are searched for the lines at which a build has failed. */
const MAX_DOCKERFILE = 1024 * 1024;

/** Runs the build of a command line, and the steps that follow it. */
export async function runBuild(request: BuildRequest, after: AfterBuild, context: Context): Promise<void> {
  const { output } = context;
  let failedStep: string | undefined;
  const finished = await buildOnRemote(request, context, {
    onEvent(event) {
      if (event.type === "step" && event.error !== undefined) failedStep ??= event.name;
      output.event(buildOutputEvent(event));
    },
    onBuilt: (id) => output.event({ type: "build-done", id }),
    async onFailed(error, files) {
      const source = await sourceOf(error, files, failedStep);
      if (source !== undefined) output.event({ type: "build-source", ...source });
    },
  });
  await saveResult(finished, request, after);
  output.event({ type: "built", ...resultOf(finished, request) });
  if (after.printsId) process.stdout.write(`${idOf(finished)}\n`);
  await after.deploy?.(context);
}

type Result = Omit<Extract<Parameters<Context["output"]["event"]>[0], { type: "built" }>, "type" | "transfer">;

function resultOf({ built, received, contextBytes, ms }: FinishedBuild, { build: { order } }: BuildRequest): Result {
  const { id, pushed, size, times } = built;
  const [digest] = pushed.flatMap((published) => published.digest ?? []);
  return {
    names: order.names,
    id,
    ...(digest !== undefined && { digest }),
    ...(size > 0 && { size }),
    contextBytes,
    ms: {
      total: Math.round(ms),
      context: times.context,
      build: times.build,
      ...(pushed.length > 0 && { push: times.push }),
      ...(received && { load: received.ms }),
    },
  };
}

/**
 * Returns the ID of an image in the engine that will use it: on this side for an image that was brought back. The ID depends on the
 * engine's store.
 */
export function idOf({ built, received }: Pick<FinishedBuild, "built" | "received">): string {
  return received?.id ?? built.id;
}

/** Writes --iidfile and --metadata-file (with the keys of docker buildx). */
async function saveResult(
  finished: FinishedBuild,
  { build: { order } }: BuildRequest,
  { iidfile, metadataFile }: AfterBuild,
): Promise<void> {
  const { built, received } = finished;
  const id = idOf(finished);
  const [digest] = built.pushed.flatMap((published) => published.digest ?? []);
  const manifest = digest ?? received?.manifestDigest;
  const metadata = {
    ...(manifest !== undefined && { "containerimage.digest": manifest }),
    "containerimage.id": id,
    "image.name": order.names.join(","),
  };
  try {
    if (iidfile !== undefined) await writeFile(iidfile, id);
    if (metadataFile !== undefined) await writeFile(metadataFile, `${JSON.stringify(metadata, undefined, 2)}\n`);
  } catch (error) {
    throw new Failure("transfer-failed", `the image is built, but its ID cannot be written: ${messageOf(error)}`, {
      expected: "a path for --iidfile and --metadata-file that this user can write to",
      hint: "Name another path; the image need not be built again.",
      cause: error,
    });
  }
}

/** Returns the lines of the Dockerfile at which a build has failed, if they are known. */
async function sourceOf(
  error: unknown,
  files: OpenedContext | undefined,
  failedStep: string | undefined,
): Promise<ReturnType<typeof findSource>> {
  if (!(error instanceof Failure) || error.code !== "build-failed") return undefined;
  try {
    const file = files && findEntry(files, files.dockerfile);
    if (files === undefined || file?.kind !== "file" || file.size > MAX_DOCKERFILE) return undefined;
    const chunks: Uint8Array[] = [];
    for await (const chunk of files.read(file)) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString("utf8");
    return findSource({ path: files.dockerfile, text }, error.message, failedStep);
  } catch {
    return undefined; // the failure itself is sufficient
  }
}
