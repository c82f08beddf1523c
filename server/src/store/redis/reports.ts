import type { WorkerReport } from "../job-store.ts";
import type { KeySpace } from "./key-space.ts";

/** Seconds for which the report of a worker is stored */
const REPORT_LIFETIME = 30;

/** Stores the report of a worker: `worker:NAME`, which expires, and its name in `workers`. */
export async function writeReport(keySpace: KeySpace, report: WorkerReport): Promise<void> {
  const transaction = keySpace.database.redis
    .multi()
    .set(keySpace.key("worker", report.worker), JSON.stringify(report), "EX", REPORT_LIFETIME)
    .sadd(keySpace.key("workers"), report.worker);
  await keySpace.batch(transaction);
}

export async function readReports(keySpace: KeySpace): Promise<readonly WorkerReport[]> {
  return await keySpace.database.use(async (redis) => {
    const names = await redis.smembers(keySpace.key("workers"));
    if (names.length === 0) return [];
    const reports = await redis.mget(names.map((name) => keySpace.key("worker", name)));
    const gone = names.filter((_, index) => reports[index] === null);
    if (gone.length > 0) await redis.srem(keySpace.key("workers"), gone);
    return reports.flatMap((report) => (typeof report === "string" ? [JSON.parse(report) as WorkerReport] : []));
  });
}
