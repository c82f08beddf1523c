import { element } from "./dom.ts";
import type { BuildLimits, JobPhase, JobReason, JobState } from "../src/jobs/job.ts";

/** A job in the form of the API: times are RFC 3339, phases take seconds, sizes are bytes. */
export interface ApiJob {
  id: string;
  name: string;
  owner: string;
  state: JobState;
  reason?: JobReason;
  /** For a queued job: how many run before it. Events omit it. */
  position?: number | undefined;
  attempts: number;
  source: { kind: "dockerfile" | "archive" | "address"; bytes?: number; url?: string };
  file: string;
  target?: string;
  platform?: string;
  buildArgs: Readonly<Record<string, string>>;
  labels: Readonly<Record<string, string>>;
  noCache: boolean;
  pull: boolean;
  push: boolean;
  purge: boolean;
  limits: Pick<BuildLimits, "memory" | "cpus" | "network">;
  hasCredentials: boolean;
  retryOf?: string;
  imageId?: string;
  digest?: string;
  size?: number;
  contextBytes?: number;
  seconds: Partial<Record<JobPhase, number>>;
  acceptedAt: string;
  startedAt?: string;
  finishedAt?: string;
  cancelledAt?: string;
  worker?: string;
  engine?: string;
  webhook?: string;
  log: { lines: number; bytes: number; isCut: boolean };
}

/** A page of jobs, newest first */
export interface ApiJobs {
  builds: ApiJob[];
  cursor?: string;
}

/** Text and icon of a state. style.css sets its colour, by `data-state`. */
export const STATE_TEXT: Record<JobState, string> = {
  queued: "queued",
  running: "running",
  pushing: "pushing",
  succeeded: "succeeded",
  failed: "failed",
  cancelled: "cancelled",
  timed_out: "timed out",
};

/** Returns the seconds that a job has run, or ran; undefined for one that waits, or never ran. */
export function runSeconds({ startedAt, finishedAt }: ApiJob, now: number): number | undefined {
  if (startedAt === undefined) return undefined;
  return Math.max(0, (finishedAt === undefined ? now : Date.parse(finishedAt)) - Date.parse(startedAt)) / 1000;
}

/** Splits a name for people: its last part is the most important one. */
export function nameParts(name: string): { before: string; last: string } {
  const at = name.lastIndexOf("/") + 1;
  return { before: name.slice(0, at), last: name.slice(at) };
}

/** Returns a name with line breaks allowed after its slashes and before its tag. */
export function nameElements(name: string): HTMLElement[] {
  const { before, last } = nameParts(name);
  const breaking = (text: string, between: RegExp): Node[] =>
    text.split(between).flatMap((part) => [new Text(part), element("wbr")]);
  return [
    element("span", { class: "before" }, ...breaking(before, /(?<=\/)/)),
    element("b", {}, ...breaking(last, /(?=:)/).slice(0, -1)),
  ];
}

export function positionText(position: number | undefined): string {
  if (position === undefined) return "queued";
  return position === 0 ? "next" : `${position.toLocaleString("en-GB")} ahead`;
}
