/**
 * A job: an accepted build. It is stored and shown in this form, and contains no secret. Times are ms since 1970, sizes
 * bytes.
 */
export interface Job {
  /** A UUID of version 7 (RFC 9562): IDs sort in the order in which jobs were accepted. */
  id: string;
  /** The image's name as the client gave it, e.g. `registry.example.com/team/app:v2` */
  name: string;
  /** The full name, `docker.io/library/app:latest`. Jobs with the same name never build at the same time. */
  fullName: string;
  /** The name of the token with which it was submitted; `anonymous` on a server without tokens */
  owner: string;
  state: JobState;
  /** The reason why it failed, or why it is queued again */
  reason?: JobReason | undefined;
  source: JobSource;
  order: JobOrder;
  /** Whether it was submitted with credentials for the registry */
  hasCredentials: boolean;
  /** Number of runs that have begun, including the current one */
  attempts: number;
  acceptedAt: number;
  startedAt?: number | undefined;
  finishedAt?: number | undefined;
  /** ms that each phase took; for a running job, only the completed phases */
  phases: Partial<Record<JobPhase, number>>;
  /** The engine's ID of the image */
  imageId?: string | undefined;
  /** The manifest's digest in the registry */
  digest?: string | undefined;
  /** Bytes of the image's layers */
  size?: number | undefined;
  /** Bytes of the files in the context */
  contextBytes?: number | undefined;
  /** The worker that runs it, or ran it: `HOST:PID` */
  worker?: string | undefined;
  /** The address of the engine on which it runs or ran */
  engine?: string | undefined;
  /** Time at which somebody cancelled it */
  cancelledAt?: number | undefined;
  /** The ID of the job that this one repeats */
  retryOf?: string | undefined;
  webhook?: JobWebhook | undefined;
  log: { lines: number; bytes: number; isCut: boolean };
}

const JOB_ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * Returns whether a text is an ID of a job. Other texts never become part of a path or a key, whatever their source.
 */
export function isJobId(text: string): boolean {
  return JOB_ID.test(text);
}

export const JOB_STATES = ["queued", "running", "pushing", "succeeded", "failed", "cancelled", "timed_out"] as const;
export type JobState = (typeof JOB_STATES)[number];

/**
 * fetch: fetching the archive from an address; context: unpacking; build; push; purge: removing the image from the
 * engine
 */
export type JobPhase = "queue" | "fetch" | "context" | "build" | "push" | "purge";

export interface JobReason {
  /** A code of docs/exit-status.md, or one of the server's codes (ReasonCode) */
  code: string;
  message: string;
  expected?: string | undefined;
  hint?: string | undefined;
}

/** The source of the files. */
export type JobSource =
  /** The text of a Dockerfile without files. It is the job's body. */
  | { kind: "dockerfile"; bytes: number }
  /** An archive, which is the job's body */
  | { kind: "archive"; bytes: number }
  /** An archive at an address, which the worker fetches. An address with a user or a password is rejected. */
  | { kind: "address"; url: string };

/** The build, and the handling of its image. */
export interface JobOrder {
  /** Path of the Dockerfile in the archive */
  file: string;
  /** Number of leading folders to remove from each path in the archive */
  strip: number;
  target?: string | undefined;
  buildArgs: Readonly<Record<string, string>>;
  labels: Readonly<Record<string, string>>;
  /** OS/ARCH[/VARIANT] */
  platform?: string | undefined;
  noCache: boolean;
  /** Pull newer bases */
  pull: boolean;
  /** Push the image under its name to the registry */
  push: boolean;
  /** Remove the image from the engine at the end, even after a failure */
  purge: boolean;
  /** Limits of the token with which it was submitted */
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
  /** Previous attempts */
  deliveries: readonly Delivery[];
  /** Time at which the next attempt is due; undefined: none is */
  nextAt?: number | undefined;
}

/** An attempt to deliver a webhook. */
export interface Delivery {
  at: number;
  /** HTTP status of the response */
  status?: number | undefined;
  /** Reason why there was no response */
  error?: string | undefined;
  ms: number;
}

export function isOver({ state }: Pick<Job, "state">): boolean {
  return state !== "queued" && state !== "running" && state !== "pushing";
}
