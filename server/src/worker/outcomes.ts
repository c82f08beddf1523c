import { duration, EngineError, Failure, messageOf } from "docker-over-ssh/builds";
import type { JobReason } from "../jobs/job.ts";
import { Stopped, type Outcome } from "../store/job-store.ts";
import type { Masks } from "./masks.ts";

/** The server's own codes, in addition to those of docs/exit-status.md. */
export type ReasonCode = "cancelled" | "time-limit" | "lease-lost" | "server-stopped";

/** ms before a job is retried on an engine that was unavailable */
const RETRY_DELAY = 5_000;

/** The signal's reason when a job exceeds its time limit. */
export class TimeLimitReached extends Error {
  override readonly name = "TimeLimitReached";
  readonly ms: number;

  constructor(ms: number) {
    super(`the build has exceeded its time limit of ${duration(ms)}`);
    this.ms = ms;
  }
}

/** Returns the outcome of a run that has thrown this error. Masks passwords. */
export function outcomeOf(error: unknown, masks: Masks): Outcome {
  if (error instanceof Stopped) return stopped(error);
  if (error instanceof TimeLimitReached) {
    const reason = ownReason("time-limit", error.message, { expected: "a build that ends within that time" });
    return { state: "timed_out", reason };
  }
  const reason = masked(reasonOf(error), masks);
  if (reason.code === "engine-unreachable") return { state: "again", reason, delay: RETRY_DELAY, isFree: false };
  return { state: "failed", reason };
}

function stopped({ why }: Stopped): Outcome {
  switch (why) {
    case "cancelled":
      return { state: "cancelled", reason: ownReason("cancelled", "the build was cancelled") };
    case "lost": {
      const reason = ownReason("lease-lost", "the worker has lost its lease of the build");
      return { state: "again", reason, delay: 0, isFree: false };
    }
    case "stopping":
      return { state: "again", reason: ownReason("server-stopped", "the server was stopped"), delay: 0, isFree: true };
  }
}

function ownReason(code: ReasonCode, message: string, more: Omit<JobReason, "code" | "message"> = {}): JobReason {
  return { code, message, ...more };
}

/** Describes an error to the sender of the job. */
function reasonOf(error: unknown): JobReason {
  if (error instanceof Failure) {
    const { code, message, expected, hint } = error;
    return {
      code,
      message: addressedToSender(message),
      ...(expected !== undefined && { expected }),
      ...(hint !== undefined && { hint: addressedToSender(hint) }),
    };
  }
  if (error instanceof EngineError) {
    return {
      code: "build-failed",
      message: `the engine reported an error: ${messageOf(error)}`,
      expected: "a successful answer; the words of the error are the engine's",
      hint: "Read the engine's log, then submit the build again.",
    };
  }
  return {
    code: "internal",
    message: `unexpected error of the server: ${messageOf(error)}`,
    expected: "no error of this kind",
    hint: "See the output of the server for details.",
  };
}

/** Replaces messages of the core, which address the user of a command, by messages for the sender of a job. */
export const SERVICE_WORDS: readonly (readonly [core: string | RegExp, service: string])[] = [
  [
    /Run `docker login[^`]*` on this side/g,
    "Send credentials for that registry with the build, as `docker-over-ssh publish` does after `docker login`",
  ],
  ["; this side has none for it", "; neither the build nor the server has any"],
  ["Name it with -f", "Name it with `file`"],
  ["there is no archive on stdin: it is empty", "the archive is empty"],
  ["the input on stdin", "the body"],
  ["run the same command again", "submit the build again"],
];

function addressedToSender(text: string): string {
  return SERVICE_WORDS.reduce((words, [core, service]) => words.replaceAll(core, service), text);
}

function masked({ code, message, expected, hint }: JobReason, masks: Masks): JobReason {
  return {
    code,
    message: masks.hide(message),
    ...(expected !== undefined && { expected: masks.hide(expected) }),
    ...(hint !== undefined && { hint: masks.hide(hint) }),
  };
}
