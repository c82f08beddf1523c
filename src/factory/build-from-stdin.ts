import { buildOutputEvent } from "../build-log/build-output-event.ts";
import type { BuildContext } from "../build-context/build-context.ts";
import { openArchiveContext } from "../build-context/archive/open-archive-context.ts";
import type { Engine } from "../engine/engine.ts";
import type { BuildAnswers, BuildOrder } from "../engine/engine-builder.ts";
import { fullName, taggableName, type Reference } from "../image/reference.ts";
import type { NonEmpty } from "../non-empty.ts";
import { Failure } from "../output/errors.ts";
import type { Built } from "../output/build-events.ts";
import { newRunId } from "../run/run-id.ts";
import { removeDeadSpools } from "../run/spool-folder.ts";
import { stallTimer } from "../streams/stall-timer.ts";
import { duration } from "../output/describe.ts";
import type { Context } from "../transfer.ts";
import { appContext } from "./app-context.ts";
import { watchClient, type ClientWatch } from "./watch-client.ts";
import type { FactoryRequest } from "./factory-request.ts";
import { findLayout } from "./layout.ts";
import { reportText } from "./report.ts";
import { withSignsOfLife } from "./signs-of-life.ts";
import { takeTurn, takeUnpackingPlace } from "./take-turn.ts";
import { imagesOf, removeBuiltImages } from "./remove-built-images.ts";

/** The dependencies of {@link buildFromStdin}. */
export interface FactoryDependencies {
  /** The caller owns it and disposes of it */
  engine: Engine;
  archive: AsyncIterable<Buffer>;
  /** Answers to the builder's requests: credentials of this machine */
  answers: BuildAnswers;
  client?: ClientWatch;
  /** Prints on stdout. */
  print(this: void, text: string): void;
}

/**
 * Builds an image from an archive: reads and checks it, waits for its turn, lets the engine build, publishes the image, and removes old images.
 * Rejects with a Failure, or with the signal's reason. This stops the engine's build, as does a client that disconnects.
 */
export async function buildFromStdin(
  request: FactoryRequest,
  dependencies: FactoryDependencies,
  context: Context,
): Promise<Built> {
  const { engine, answers, archive, print } = dependencies;
  const started = performance.now();
  using client = dependencies.client ?? watchClient();
  const signal = AbortSignal.any([context.signal, client.signal]);
  const { env, output } = context;
  const runId = newRunId();
  await removeDeadSpools(env);
  await using _ = await takeUnpackingPlace({ runId, env, output, signal });
  await using tree = await openArchiveContext(archive, {
    env,
    runId,
    signal,
    strip: request.strip,
    limits: { ...request.limits, howToRaise: "raise the limit with --max-size on the machine that builds" },
    refuseLinksOut: true,
    timeout: request.timeout,
    slowHint: "--timeout on the machine that builds sets another limit.",
    onBytes: (current) => output.progress({ stage: "reading-archive", current }),
  });
  const { files, dockerfile } = await buildable(tree, request, signal);
  const read = performance.now();
  await using turn = await takeTurn({ ...request, runId, env, output, signal });
  using signsOfLife = withSignsOfLife(output);
  using clock = stallTimer(tooLong, signal, turn.signal);
  clock.start(request.maxTime);
  const names = namesOf(request);
  const before = await imagesOf(engine, names);
  const begun = performance.now();
  const order = orderOf(request, dockerfile);
  const { id } = await engine.build(order, files, {
    answers,
    onEvent: (event) => signsOfLife.output.event(buildOutputEvent(event)),
    signal: clock.signal,
  });
  const done = performance.now();
  const { published } = request;
  const { digest } = published ? await engine.publish(nameOf(published), { answers, signal: clock.signal }) : {};
  const pushed = performance.now();
  const removed = await removeBuiltImages(engine, { ...request, names, id, before }, output);
  const size = (await engine.inspectImage(id))?.size;
  const built: Built = {
    names: names.map(fullName),
    id,
    ...(digest !== undefined && { digest }),
    ...(size !== undefined && { size }),
    contextBytes: 0,
    ms: {
      total: Math.round(performance.now() - started),
      context: Math.round(read - started),
      build: Math.round(done - begun),
      ...(request.published && { push: Math.round(pushed - done) }),
    },
  };
  output.event({ type: "built", ...built });
  if (request.printsReport) print(reportText(built, removed));
  return built;
}

/** Returns the context for the engine: the tree with its Dockerfile, or with one that runs its scripts. */
async function buildable(
  tree: BuildContext,
  { dockerfile: named, base }: FactoryRequest,
  signal: AbortSignal,
): Promise<{ files: BuildContext; dockerfile: string }> {
  const layout = await findLayout(tree, named, signal);
  if (layout.kind === "dockerfile") return { files: tree, dockerfile: layout.dockerfile };
  const files = appContext(tree, layout, base);
  return { files, dockerfile: files.dockerfile };
}

/** Returns the names of the image: NAME, and the name in the registry if it differs. */
function namesOf({ name, published }: FactoryRequest): NonEmpty<Reference> {
  return published === undefined || fullName(published) === fullName(name) ? [name] : [name, published];
}

function nameOf(name: Reference): string {
  return taggableName(name) ?? name.given;
}

function orderOf(request: FactoryRequest, dockerfile: string): BuildOrder {
  return {
    ...request.order,
    names: namesOf(request).map(nameOf),
    dockerfile,
    isArchive: true,
    cacheFrom: [],
    secrets: [],
    agents: [],
    contextKey: `${request.name.domain}/${request.name.path}`,
  };
}

function tooLong(ms: number): Failure {
  return new Failure("build-failed", `the build has taken longer than ${duration(ms)}`, {
    expected: "a build within that time",
    hint: "--max-time on the machine that builds sets another limit.",
  });
}
