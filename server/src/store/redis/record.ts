import { JOB_STATES, type Job, type JobPhase, type JobState, type JobWebhook } from "../../jobs/job.ts";
import type { JobChange, NewJob } from "../job-store.ts";

/**
 * The fixed properties of a job, as JSON in the field `spec`. All other properties have fields of their own, which
 * scripts read and write.
 */
type Spec = NewJob["job"];

/** The fields of `job:ID`, as Redis returns them. */
export type JobRecord = Readonly<Record<string, string>>;

const NUMBERS = ["attempts", "acceptedAt", "startedAt", "finishedAt", "cancelledAt", "size", "contextBytes"] as const;
const TEXTS = ["imageId", "digest", "worker", "engine"] as const;

export function specOf(job: Spec): string {
  return JSON.stringify(job);
}

/** Returns the job of a record; undefined if it is missing. */
export function jobOf(record: JobRecord): Job | undefined {
  const { spec, state } = record;
  if (spec === undefined || !isState(state)) return undefined;
  const known: Record<string, unknown> = {};
  for (const name of NUMBERS) if (record[name] !== undefined) known[name] = Number(record[name]);
  for (const name of TEXTS) if (record[name] !== undefined) known[name] = record[name];
  if (record["reason"] !== undefined) known["reason"] = JSON.parse(record["reason"]);
  if (record["webhook"] !== undefined) known["webhook"] = webhookOf(record["webhook"], record["hookAt"]);
  return {
    ...(JSON.parse(spec) as Spec),
    attempts: 0,
    acceptedAt: 0,
    ...known,
    state,
    hasCredentials: record["hasCredentials"] !== undefined,
    phases: phasesOf(record),
    log: {
      lines: Number(record["logLines"] ?? 0),
      bytes: Number(record["logBytes"] ?? 0),
      isCut: record["logCut"] !== undefined,
    },
  };
}

/**
 * Returns the webhook from the fields `webhook`, which has no time of the next attempt, and `hookAt`, which is that
 * time.
 */
function webhookOf(text: string, next: string | undefined): JobWebhook {
  return { ...(JSON.parse(text) as JobWebhook), ...(next !== undefined && { nextAt: Number(next) }) };
}

function phasesOf(record: JobRecord): Job["phases"] {
  const phases: Job["phases"] = {};
  for (const [name, value] of Object.entries(record)) {
    if (name.startsWith("phase:")) phases[name.slice("phase:".length) as JobPhase] = Number(value);
  }
  return phases;
}

/** Returns the fields and values of a change, alternating. */
export function fieldsOf(change: Omit<JobChange, "state">): string[] {
  const { phases = {}, ...known } = change;
  const fields = [
    ...Object.entries(known),
    ...Object.entries(phases).map(([phase, ms]) => [`phase:${phase}`, ms] as const),
  ];
  return fields.flatMap(([name, value]) => (value === undefined ? [] : [name, String(value)]));
}

function isState(state: string | undefined): state is JobState {
  return (JOB_STATES as readonly (string | undefined)[]).includes(state);
}
