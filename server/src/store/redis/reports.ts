import type { WorkerReport } from "../job-store.ts";
import type { Space } from "./space.ts";

/** Seconds for which the report of a worker is stored */
const KEPT = 30;

/** Stores the report of a worker: `worker:NAME`, which expires, and its name in `workers`. */
export async function writeReport(space: Space, report: WorkerReport): Promise<void> {
  const transaction = space.database.redis
    .multi()
    .set(space.key("worker", report.worker), JSON.stringify(report), "EX", KEPT)
    .sadd(space.key("workers"), report.worker);
  await space.batch(transaction);
}

export async function readReports(space: Space): Promise<readonly WorkerReport[]> {
  return await space.database.use(async (redis) => {
    const names = await redis.smembers(space.key("workers"));
    if (names.length === 0) return [];
    const reports = await redis.mget(names.map((name) => space.key("worker", name)));
    const gone = names.filter((_, index) => reports[index] === null);
    if (gone.length > 0) await redis.srem(space.key("workers"), gone);
    return reports.flatMap((report) => (typeof report === "string" ? [JSON.parse(report) as WorkerReport] : []));
  });
}
