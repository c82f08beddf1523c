import {
  messageOf,
  parsePlatform,
  parseReference,
  taggableName,
  bytes,
  duration,
  type BuildAnswers,
  type BuildOrder,
  type Engine,
} from "docker-over-ssh/builds";
import type { Job } from "../jobs/job.ts";
import { Stopped, type Claim, type Outcome } from "../store/job-store.ts";
import { answersFor } from "./answers.ts";
import { JobLog } from "./job-log.ts";
import { Masks } from "./masks.ts";
import { openFiles, type FileTools, type JobFiles } from "./open-files.ts";
import { outcomeOf } from "./outcomes.ts";
import { lookUpName, purgeName, removeReplaced, warnOnError, type NameBefore, type PurgeEngine } from "./purge.ts";
import { StepImages, type StepRemoval } from "./step-images.ts";
import { timeLimit } from "./time-limit.ts";
import { JobProgress } from "./job-progress.ts";

/** The engine operations that a job uses. */
export type JobEngine = PurgeEngine & Pick<Engine, "build" | "builder" | "publish">;

export interface JobTools extends FileTools {
  engine: JobEngine;
  /** Shared by all jobs of that engine */
  steps: StepRemoval;
  /** Aborted with a `Stopped` when the server stops and the job must end. */
  stop: AbortSignal;
  /** Called with messages for the server's operator: an unexplained error, or trouble with the docker config. */
  warn: (text: string) => void;
}

/** The shared state of a run's phases. */
interface Run {
  claim: Claim;
  tools: JobTools;
  log: JobLog;
  progress: JobProgress;
  answers: BuildAnswers;
  signal: AbortSignal;
  /** The image's name in the engine */
  name: string;
}

/**
 * Runs a job: fetches and unpacks its files, makes the engine build them, pushes the image, and removes it from the
 * engine. Does not reject. Removals also happen after a failure, and after the signal of the claim.
 */
export async function runJob(claim: Claim, tools: JobTools): Promise<Outcome> {
  const { job } = claim;
  const masks = new Masks();
  if (claim.credentials !== undefined) masks.add(claim.credentials);
  const log = new JobLog((lines) => claim.log(lines), masks, tools.settings.maxLog);
  const maxTime = Math.min(job.order.limits.time ?? Infinity, tools.settings.build.maxTime);
  using limit = timeLimit(maxTime, claim.signal, tools.stop);
  const { signal } = limit;
  try {
    signal.throwIfAborted();
    const reference = parseReference(job.name);
    const { credentials } = claim;
    const answers = answersFor({ name: job.name, credentials, env: tools.env, masks, warn: tools.warn });
    const name = taggableName(reference) ?? job.name;
    await carryOut({ claim, tools, log, progress: new JobProgress(claim), answers, signal, name });
    log.endBuild("built");
    return { state: "succeeded" };
  } catch (thrown) {
    const error: unknown = signal.aborted ? signal.reason : thrown;
    log.endBuild(signal.aborted ? "stopped" : "failed");
    const outcome = outcomeOf(error, masks);
    if ("reason" in outcome) log.reason(outcome.reason);
    if ("reason" in outcome && outcome.reason.code === "internal") tools.warn(unexplained(job, error, masks));
    return outcome;
  }
}

async function carryOut(run: Run): Promise<void> {
  const { claim, tools, log, progress, name, signal } = run;
  const { job } = claim;
  const { engine } = tools;
  await using files = await openFiles(claim, tools, { log, progress, signal });
  await progress.report({ contextBytes: files.bytes });
  signal.throwIfAborted();
  const before = await lookUpName(engine, name, job.attempts > 1 ? job.imageId : undefined);
  const made: Made = { id: undefined, steps: undefined };
  const { purge, push } = job.order;
  try {
    if (purge && (await makesStepImages(run))) {
      made.steps = new StepImages(await engine.listImageIds());
      tools.steps.begin();
    }
    await build(run, files, made);
    if (push) await publish(run);
  } finally {
    if (purge) await progress.phase("purge", async () => await clear(run, before, made));
    else if (made.id !== undefined) await clearReplaced(run, before, made.id);
  }
}

/** The images that a run has created in the engine. */
interface Made {
  id: string | undefined;
  steps: StepImages | undefined;
}

async function build({ claim, tools, log, progress, answers, signal, name }: Run, files: JobFiles, made: Made) {
  const { job } = claim;
  const limits = limitsText(job);
  log.say(`Building ${name}${limits === "" ? "" : ` (${limits})`}`);
  await progress.phase("build", async () => {
    const image = await tools.engine.build(orderOf(job, name, files.dockerfile), files.context, {
      answers,
      signal,
      onEvent: (event) => {
        made.steps?.take(event);
        log.event(event);
      },
    });
    made.id = image.id;
  });
  log.endBuild("built");
  // The builder may have printed only the first digits.
  const image = await tools.engine.inspectImage(made.id ?? name);
  made.id = image?.id ?? made.id;
  await progress.report({ imageId: made.id, ...(image !== undefined && { size: image.size }) });
  log.say(`Built ${made.id}${image === undefined ? "" : `, ${bytes(image.size)}`}`);
}

async function publish({ tools, log, progress, answers, signal, name }: Run): Promise<void> {
  signal.throwIfAborted();
  await progress.report({ state: "pushing" });
  log.say(`Pushing ${name}`);
  const { digest } = await progress.phase("push", async () => await tools.engine.publish(name, { answers, signal }));
  if (digest !== undefined) await progress.report({ digest });
  log.say(`Pushed ${name}${digest === undefined ? "" : `, digest ${digest}`}`);
}

async function clear({ tools, log, name, signal }: Run, before: NameBefore, { id, steps }: Made): Promise<void> {
  const { engine } = tools;
  await warnOnError(log, `${name} cannot be removed from the engine`, async () => {
    await purgeName(engine, before, id, { isShared: isLost(signal) });
    if (id !== undefined) log.say(`Removed ${name} from the engine`);
    if (before.id !== undefined) log.say(`${name} is ${before.id} in the engine again`);
  });
  if (steps === undefined) return;
  await warnOnError(log, "images of steps cannot be removed from the engine", async () => {
    await tools.steps.end(engine, steps.made);
  });
}

/** Returns whether another worker may run the job now. */
function isLost({ reason }: AbortSignal): boolean {
  return reason instanceof Stopped && reason.why === "lost";
}

async function clearReplaced({ tools, log, name }: Run, before: NameBefore, built: string): Promise<void> {
  const problem = `the image that was ${name} cannot be removed from the engine`;
  await warnOnError(log, problem, async () => await removeReplaced(tools.engine, before, built));
}

/** BuildKit has its own cache. For limits, the core chooses another builder. */
async function makesStepImages({ claim, tools }: Run): Promise<boolean> {
  const { memory, cpus } = claim.job.order.limits;
  return memory !== undefined || cpus !== undefined || (await tools.engine.builder()) !== "buildkit";
}

function orderOf({ fullName, order }: Job, name: string, dockerfile: string): BuildOrder {
  const { target, buildArgs, labels, platform, noCache, pull, limits } = order;
  return {
    names: [name],
    isArchive: true,
    dockerfile,
    target,
    buildArgs,
    labels,
    platform: platform === undefined ? undefined : parsePlatform(platform),
    noCache,
    pull,
    cacheFrom: [],
    network: limits.network,
    memory: limits.memory,
    cpus: limits.cpus,
    secrets: [],
    agents: [],
    contextKey: fullName,
  };
}

function limitsText({ order: { limits } }: Job): string {
  const { memory, cpus, time, network } = limits;
  return [
    memory === undefined ? "" : `memory ${bytes(memory)}`,
    cpus === undefined ? "" : `cpus ${cpus}`,
    time === undefined ? "" : `time ${duration(time)}`,
    network === undefined ? "" : `network ${network}`,
  ]
    .filter((text) => text !== "")
    .join(", ");
}

function unexplained({ id }: Job, error: unknown, masks: Masks): string {
  const text = error instanceof Error ? (error.stack ?? error.message) : messageOf(error);
  return masks.hide(`job ${id}: ${text}`);
}
