import { setTimeout as wait } from "node:timers/promises";
import { Failure, messageOf, type Credentials } from "docker-over-ssh/builds";
import type { Job, JobReason } from "../../jobs/job.ts";
import { Stopped, type Claim, type JobChange, type Outcome } from "../job-store.ts";
import type { Seal } from "../seal.ts";
import { MAX_RUNS, REASONS } from "../transitions.ts";
import type { Bodies } from "./bodies.ts";
import { LogWriter, type Run } from "./log-writer.ts";
import { fieldsOf, jobOf } from "./record.ts";
import { AGAIN, FINISH, UPDATE } from "./scripts.ts";
import type { KeySpace } from "./key-space.ts";

/** ms before a retry while Redis is unavailable */
const RETRY_EVERY = 500;

export interface RunningJobOptions {
  keySpace: KeySpace;
  bodies: Bodies;
  seal: Seal;
  maxLog: number;
}

/** How a run has ended in the store. */
export type End =
  /** Another run owns the job, or the store is closed */
  | { kind: "lost" }
  | { kind: "over"; freed: readonly string[] }
  | { kind: "queued"; delay: number; freed: readonly string[] };

/** One run of a job, by this worker. */
export class RunningJob implements Run {
  readonly id: string;
  readonly run: string;
  readonly #options: RunningJobOptions;
  readonly #stop = new AbortController();
  /** Aborted when another run owns the job, or the store is closed */
  readonly #lost = new AbortController();
  readonly #log: LogWriter;
  /** Changes that Redis did not accept, because it was unavailable */
  #unsavedChange: Omit<JobChange, "state"> = {};
  #hasEnded = false;

  constructor({ id, run }: Run, options: RunningJobOptions) {
    this.id = id;
    this.run = run;
    this.#options = options;
    this.#log = new LogWriter(options.keySpace, this, options.maxLog, this.#lost.signal);
  }

  /** Requests the end of the run. The run of a lost job writes nothing more. */
  stop(why: Stopped["why"]): void {
    if (!this.#hasEnded) this.#stop.abort(new Stopped(why));
    if (why === "lost") this.#lost.abort();
  }

  /** Runs the job with `run`, and stores the outcome. Does not reject. */
  async perform(run: (claim: Claim) => Promise<Outcome>): Promise<End> {
    const outcome = await this.#outcome(run);
    this.#hasEnded = true;
    await this.#log.end();
    return await this.#end(outcome);
  }

  async #outcome(run: (claim: Claim) => Promise<Outcome>): Promise<Outcome> {
    const found = await this.#retried(() => this.#find());
    if (found === undefined) return { state: "failed", reason: REASONS.lost }; // the outcome is ignored
    if ("reason" in found) return { state: "failed", reason: found.reason };
    const { job, body, credentials } = found;
    return await run({
      job,
      body,
      credentials,
      signal: this.#stop.signal,
      log: (lines) => this.#log.add(lines),
      update: async (change) => await this.#update(change),
    });
  }

  async #find(): Promise<{ job: Job; body?: string; credentials?: Credentials } | { reason: JobReason }> {
    const { keySpace, bodies, seal } = this.#options;
    const record = await keySpace.record(this.id);
    const job = jobOf(record);
    if (job === undefined) return { reason: REASONS.lost };
    const body = job.source.kind === "address" ? undefined : await bodies.find(this.id);
    if (body === undefined && job.source.kind !== "address") return { reason: bodyMissing(bodies.pathOf(this.id)) };
    const sealed = record["sealed"];
    try {
      const credentials = sealed === undefined ? undefined : seal.open({ id: this.id, name: job.name }, sealed);
      return { job, ...(body !== undefined && { body }), ...(credentials && { credentials }) };
    } catch (error) {
      return { reason: unreadable(error) };
    }
  }

  async #update({ state, ...change }: JobChange): Promise<void> {
    if (this.#hasEnded) return;
    const all = { ...this.#unsavedChange, ...change };
    this.#unsavedChange = all;
    const owns = await this.#options.keySpace.run(UPDATE, this.id, this.run, state ?? "", ...fieldsOf(all));
    if (this.#unsavedChange === all) this.#unsavedChange = {};
    if (owns === 1) return;
    this.stop("lost");
    throw new Stopped("lost");
  }

  /** Saves the changes that were not saved. Rejects while Redis is unavailable. */
  async #saveRest(): Promise<void> {
    const fields = fieldsOf(this.#unsavedChange);
    if (fields.length > 0) await this.#options.keySpace.run(UPDATE, this.id, this.run, "", ...fields);
    this.#unsavedChange = {};
  }

  async #end(outcome: Outcome): Promise<End> {
    const { keySpace } = this.#options;
    const reason = "reason" in outcome ? JSON.stringify(outcome.reason) : "";
    await this.#retried(async () => await this.#saveRest());
    if (outcome.state !== "again") {
      const answer = await this.#retried(() => keySpace.run(FINISH, this.id, this.run, outcome.state, reason));
      const [owns, ...freed] = (answer ?? [0]) as [number, ...string[]];
      return owns === 1 ? { kind: "over", freed } : { kind: "lost" };
    }
    const { delay, isFree } = outcome;
    const limits = [isFree ? 1 : "", MAX_RUNS, JSON.stringify(REASONS.cancelled)];
    const answer = await this.#retried(() =>
      keySpace.run(AGAIN, this.id, this.run, reason, Math.round(delay), ...limits),
    );
    const [owns, isOver = 1, ...freed] = (answer ?? [0]) as [number, number?, ...string[]];
    if (owns !== 1) return { kind: "lost" };
    return isOver === 1 ? { kind: "over", freed } : { kind: "queued", delay, freed };
  }

  /** Retries a task while Redis is unavailable. Returns undefined if the job is lost. */
  async #retried<T>(task: () => Promise<T>): Promise<T | undefined> {
    const { signal } = this.#lost;
    while (!signal.aborted) {
      try {
        return await task();
      } catch {
        await wait(RETRY_EVERY, undefined, { signal }).catch(() => {});
      }
    }
    return undefined;
  }
}

function unreadable(error: unknown): JobReason {
  const { expected, hint } = error instanceof Failure ? error : {};
  return { code: "credentials-lost", message: messageOf(error), expected, hint };
}

function bodyMissing(path: string): JobReason {
  return {
    code: "body-missing",
    message: `the body of the build is missing: ${path} does not exist`,
    expected: "servers and workers share the folder of bodies (--data), and nobody else removes files in it",
    hint: "Submit the build again.",
  };
}
