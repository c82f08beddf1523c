import { JOB_STATES, type Job, type JobState } from "../../jobs/job.ts";
import type { JobPage, JobQuery } from "../job-store.ts";
import type { KeySpace } from "./key-space.ts";

/** Number of jobs that are read with one request */
const CHUNK = 200;

/**
 * Returns a page of jobs, newest first. IDs sort in the order of acceptance: the cursor is the ID of the last job of a
 * page.
 */
export async function listJobs(keySpace: KeySpace, { states, name, owner, cursor, limit }: JobQuery): Promise<JobPage> {
  const matches: string[] = [];
  let before = cursor;
  while (matches.length <= limit) {
    const ids = await idsBefore(keySpace, before, states);
    if (ids.length === 0) break;
    const isAny = name === undefined && owner === undefined;
    const all = isAny ? [] : await keySpace.fields(ids, "owner", "spec");
    for (const [index, id] of ids.entries()) {
      const [itsOwner, spec] = all[index] ?? [];
      if (owner !== undefined && itsOwner !== owner) continue;
      if (name !== undefined && !nameOf(spec).includes(name)) continue;
      matches.push(id);
    }
    before = ids.at(-1);
  }
  const page = matches.slice(0, limit);
  const next = matches.length > limit ? page.at(-1) : undefined;
  return { jobs: await keySpace.jobs(page), ...(next !== undefined && { cursor: next }) };
}

function nameOf(spec: string | null | undefined): string {
  return typeof spec === "string" ? (JSON.parse(spec) as Pick<Job, "name">).name : "";
}

/** Returns IDs of jobs before this one, newest first; of all jobs, or of those in some states. */
async function idsBefore(keySpace: KeySpace, id: string | undefined, states?: readonly JobState[]): Promise<string[]> {
  const keys = states === undefined ? [keySpace.key("ids")] : states.map((state) => keySpace.key("state", state));
  if (keys.length === 0) return [];
  // One transaction, so a job that changes its state is found once.
  const transaction = keySpace.database.redis.multi();
  for (const key of keys)
    transaction.zrange(key, id === undefined ? "+" : `(${id}`, "-", "BYLEX", "REV", "LIMIT", 0, CHUNK);
  const found = (await keySpace.batch(transaction)) as string[][];
  const sorted = found.flat().toSorted((a, b) => (a < b ? 1 : -1));
  return sorted.slice(0, CHUNK);
}

export async function countJobs(keySpace: KeySpace, owner?: string): Promise<Record<JobState, number>> {
  const counts = async (): Promise<unknown[]> => {
    if (owner !== undefined)
      return await keySpace.database.use((redis) => redis.hmget(keySpace.key("owner", owner), ...JOB_STATES));
    const pipeline = keySpace.database.redis.multi();
    for (const state of JOB_STATES) pipeline.zcard(keySpace.key("state", state));
    return await keySpace.batch(pipeline);
  };
  const found = await counts();
  return Object.fromEntries(JOB_STATES.map((state, index) => [state, Number(found[index] ?? 0)])) as Record<
    JobState,
    number
  >;
}

/** Returns how many jobs run before a queued one. */
export async function positionOf(keySpace: KeySpace, id: string): Promise<number | undefined> {
  return (await keySpace.database.use((redis) => redis.zrank(keySpace.key("waiting"), id))) ?? undefined;
}
