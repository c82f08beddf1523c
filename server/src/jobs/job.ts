/**
 * A job: one build that was accepted. It is kept and shown as it is here: nothing in it is secret. Times are ms since 1970, sizes bytes.
 */
export interface Job {
  /** A UUID of version 7 (RFC 9562): IDs sort as jobs were accepted. */
  id: string;
  /** The image's name as it was given, e.g. `registry.example.com/team/app:v2` */
  name: string;
  /** The name in full, `docker.io/library/app:latest`: jobs of one are never built at the same time. */
  fullName: string;
  /** The name of the token that it came with; `anonymous` where the server has no tokens */
  owner: string;
  state: JobState;
  /** Why it has ended without success, or why it waits again */
  reason?: JobReason | undefined;
  source: JobSource;
  order: JobOrder;
  /** Whether it came with credentials for the registry */
  hasCredentials: boolean;
  /** Runs that have begun, the running one included */
  attempts: number;
  acceptedAt: number;
  startedAt?: number | undefined;
  finishedAt?: number | undefined;
  /** ms that each phase took. Of a job that runs: those that are over */
  phases: Partial<Record<JobPhase, number>>;
  /** The engine's ID of the image */
  imageId?: string | undefined;
  /** The manifest's digest in the registry */
  digest?: string | undefined;
  /** Bytes of the image's layers */
  size?: number | undefined;
  /** Bytes of the files in the context */
  contextBytes?: number | undefined;
  /** The worker that runs it, or has run it: `HOST:PID` */
  worker?: string | undefined;
  /** The engine's address, where it runs or has run */
  engine?: string | undefined;
  /** When somebody asked to cancel it */
  cancelledAt?: number | undefined;
  /** The ID of the job that this one repeats */
  retryOf?: string | undefined;
  webhook?: JobWebhook | undefined;
  log: { lines: number; bytes: number; isCut: boolean };
}

const JOB_ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Whether a text is an ID of a job. What is not becomes part of no path and no key, wherever it comes from. */
export function isJobId(text: string): boolean {
  return JOB_ID.test(text);
}

export const JOB_STATES = ["queued", "running", "pushing", "succeeded", "failed", "cancelled", "timed_out"] as const;
export type JobState = (typeof JOB_STATES)[number];

/** fetch: the archive of an address; context: unpacking; build; push; purge: removing the image from the engine */
export type JobPhase = "queue" | "fetch" | "context" | "build" | "push" | "purge";

export interface JobReason {
  /** A code of docs/exit-status.md, or one of the server's own (ReasonCode) */
  code: string;
  message: string;
  expected?: string | undefined;
  hint?: string | undefined;
}

/** Where the files come from. */
export type JobSource =
  /** The text of a Dockerfile, without files. It is the job's body. */
  | { kind: "dockerfile"; bytes: number }
  /** An archive, which is the job's body */
  | { kind: "archive"; bytes: number }
  /** An archive at an address, which the worker fetches. The address has no user and password: these are refused. */
  | { kind: "address"; url: string };

/** What to build, and what to do with the image. */
export interface JobOrder {
  /** The path of the Dockerfile in the archive */
  file: string;
  /** Folders at the beginning of each path in the archive that are left out */
  strip: number;
  target?: string | undefined;
  buildArgs: Readonly<Record<string, string>>;
  labels: Readonly<Record<string, string>>;
  /** OS/ARCH[/VARIANT] */
  platform?: string | undefined;
  noCache: boolean;
  /** Look for newer bases */
  pull: boolean;
  /** Push the image to the registry in its name */
  push: boolean;
  /** Remove the image from the engine at the end, also after a failure */
  purge: boolean;
  /** Limits of the token that it came with */
  limits: BuildLimits;
}

export interface BuildLimits {
  /** Bytes of memory of each step */
  memory?: number | undefined;
  cpus?: number | undefined;
  /** ms from the start of the job to its end */
  time?: number | undefined;
  /** default, none, host */
  network?: string | undefined;
}

export interface JobWebhook {
  url: string;
  /** Attempts so far */
  deliveries: readonly Delivery[];
  /** When the next attempt is due; left out: none is */
  nextAt?: number | undefined;
}

/** An attempt to deliver a webhook. */
export interface Delivery {
  at: number;
  /** The HTTP status of the answer */
  status?: number | undefined;
  /** Why there was none */
  error?: string | undefined;
  ms: number;
}

export function isOver({ state }: Pick<Job, "state">): boolean {
  return state !== "queued" && state !== "running" && state !== "pushing";
}
