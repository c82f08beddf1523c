import { isOver, type Job } from "../../jobs/job.ts";
import { StoreUnavailable, type LogPiece } from "../../store/job-store.ts";
import type { JobFeed, JobFollower } from "./job-feed.ts";
import { SSE_HEARTBEAT, SSE_START, sseEvent } from "./sse.ts";

/** Bytes of a log that are read at a time. A slow reader holds two pieces. */
const CHUNK = 32 * 1024;

/** The ID of the event `end`: a client that reconnects with it has the complete log. */
export const END_ID = "end";

export interface LogStreamOptions {
  /** The ID of the last line that the reader has */
  after: string | undefined;
  /** ms between two heartbeats */
  heartbeat: number;
  /** ms before an unavailable store is queried again */
  retryDelay: number;
}

/** Yields the log as text, one line each. With `follow`, it continues until the job is over. */
export async function* textLog(
  feed: JobFeed,
  { id }: Job,
  follower: JobFollower,
  { follow, after, retryDelay, heartbeat }: LogStreamOptions & { follow: boolean },
): AsyncGenerator<Buffer> {
  let last = after;
  while (!follower.isOver) {
    const piece = await unlessUnavailable(readPiece(feed, id, last));
    if (piece === undefined) {
      await follower.sleep(retryDelay);
      continue;
    }
    last = piece.lines.at(-1)?.id ?? last;
    if (piece.lines.length > 0) yield encoded(piece, asText);
    if (piece.isLast || (piece.lines.length === 0 && !follow)) return;
    if (piece.lines.length > 0) continue;
    const isAwake = await follower.sleep(heartbeat);
    if (!isAwake && (await unlessUnavailable(feed.job(id), "removed" as const)) === "removed") return;
  }
}

/**
 * Yields the log as events: `log` for each line, `job` when the job's state changes, and `end`.
 *
 * @param view returns the view of a job for clients
 */
export async function* logEvents(
  feed: JobFeed,
  job: Job,
  follower: JobFollower,
  { after, heartbeat, retryDelay, view }: LogStreamOptions & { view: (job: Job) => unknown },
): AsyncGenerator<Buffer | string> {
  const jobEvent = (job: Job): string => sseEvent({ event: "job", data: JSON.stringify(view(job)) });
  yield SSE_START + jobEvent(job);
  let { state } = job;
  let last = after;
  let isJobStale = true; // The job may have changed since it was read
  while (!follower.isOver) {
    isJobStale = follower.takeJobChange() || isJobStale;
    const piece = await unlessUnavailable(readPiece(feed, job.id, last));
    last = piece?.lines.at(-1)?.id ?? last;
    if (piece !== undefined && piece.lines.length > 0) yield encoded(piece, asEvents);
    const isLast = piece?.isLast === true;
    const changed = isLast || isJobStale ? await unlessUnavailable(feed.job(job.id), "removed" as const) : undefined;
    if (changed !== undefined) {
      isJobStale = false;
      if (changed !== "removed" && changed.state !== state) {
        ({ state } = changed);
        yield jobEvent(changed);
      }
      // A job from a shared read may be older than the log.
      if (changed === "removed" || (isLast && isOver(changed))) {
        yield sseEvent({ event: "end", id: END_ID, data: JSON.stringify({ state }) });
        return;
      }
    }
    if (piece !== undefined && piece.lines.length > 0) continue;
    const isUnavailable = piece === undefined || isJobStale || isLast;
    if (await follower.sleep(isUnavailable ? retryDelay : heartbeat)) continue;
    isJobStale = true; // The store may have failed to report a change
    if (!follower.isOver) yield SSE_HEARTBEAT;
  }
}

function readPiece(feed: JobFeed, id: string, after: string | undefined): Promise<LogPiece> {
  return feed.readLog(id, { after, limit: CHUNK });
}

/**
 * Returns the result of the store, or `none` if it has none; undefined while the store cannot be reached: the stream
 * continues later.
 */
async function unlessUnavailable<T, N = undefined>(
  promise: Promise<T | undefined>,
  none?: N,
): Promise<T | N | undefined> {
  try {
    return (await promise) ?? none;
  } catch (error) {
    if (error instanceof StoreUnavailable) return undefined;
    throw error;
  }
}

type Encode = (piece: LogPiece) => string;

const asText: Encode = ({ lines }) => lines.map(({ text }) => `${text}\n`).join("");
const asEvents: Encode = ({ lines }) =>
  lines.map(({ id, text }) => sseEvent({ event: "log", id, data: text })).join("");

/** Readers share the bytes of a piece as long as somebody refers to it. */
const bytesOf: ReadonlyMap<Encode, WeakMap<LogPiece, Buffer>> = new Map([
  [asText, new WeakMap<LogPiece, Buffer>()],
  [asEvents, new WeakMap<LogPiece, Buffer>()],
]);

function encoded(piece: LogPiece, encode: Encode): Buffer {
  const known = bytesOf.get(encode)?.get(piece);
  if (known !== undefined) return known;
  const bytes = Buffer.from(encode(piece));
  bytesOf.get(encode)?.set(piece, bytes);
  return bytes;
}
