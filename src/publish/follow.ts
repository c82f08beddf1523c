import { Failure } from "../output/errors.ts";
import { readEvents, InvalidEventStream } from "./event-stream.ts";
import { isOver, readJob, type ServedJob } from "./job.ts";
import type { RetryPolicy } from "./retry-while-away.ts";
import { noService, refusal } from "./problem.ts";
import { NotReached, readJson, type ServiceClient } from "./service-client.ts";

export interface FollowOptions {
  retries: RetryPolicy;
  signal: AbortSignal;
  /** Called once for each line of the log. The line has no line end. */
  onLine: (line: string) => void;
  /** Called with the state of the build when it changes. */
  onJob: (job: ServedJob) => void;
}

/** Follows the log of a build to its end, and returns the outcome of the build. Reconnects when the connection is lost. */
export async function follow(client: ServiceClient, id: string, options: FollowOptions): Promise<ServedJob> {
  const { retries, signal } = options;
  const log = { lastId: "", isComplete: false };
  // Gets the position in the queue, which no event contains. Errors are ignored, because reading the log meets them too and reports them.
  await readState(client, id, signal).then(options.onJob, () => {});
  for (;;) {
    try {
      if (!log.isComplete) await readLog(client, id, log, options);
      const job = await readState(client, id, signal);
      if (isOver(job)) return job;
      throw new NotReached("the log has ended before the build");
    } catch (error) {
      await retries.wait(error, signal, (last) => lost(client, id, last));
    }
  }
}

/** Reads the log from the last known line on. Rejects with {@link NotReached} if the log is not complete at the end of the stream. */
async function readLog(
  client: ServiceClient,
  id: string,
  log: { lastId: string; isComplete: boolean },
  { retries, signal, onLine, onJob }: FollowOptions,
): Promise<void> {
  const { status, headers, body } = await client.request({
    method: "GET",
    path: `api/v2/builds/${id}/logs`,
    headers: { accept: "text/event-stream", ...(log.lastId !== "" && { "last-event-id": log.lastId }) },
    signal,
  });
  if (status === 204) {
    log.isComplete = true; // it was read to its end
    body.resume();
    return;
  }
  if (status !== 200)
    throw refusal({ status, headers, value: await readJson({ headers, body }, signal) }, client.address);
  if (!headers["content-type"]?.startsWith("text/event-stream")) {
    body.destroy();
    throw noService(client.address.shown, "its log is not a stream of events");
  }
  try {
    for await (const { type, data, lastId } of readEvents(body as AsyncIterable<Buffer>, log.lastId)) {
      retries.reset();
      if (type === "log") onLine(data);
      log.lastId = lastId;
      if (type === "job") {
        const job = readJob(parsed(data));
        if (job !== undefined) onJob(job);
      }
      if (type !== "end") continue;
      log.isComplete = true;
      return;
    }
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof InvalidEventStream) throw noService(client.address.shown, error.message);
    throw new NotReached(`the log was cut off: ${(error as Error).message}`, { cause: error });
  }
  throw new NotReached("the server has ended the connection");
}

/** Requests the state of a build. */
async function readState(client: ServiceClient, id: string, signal: AbortSignal): Promise<ServedJob> {
  const { status, headers, value } = await client.json({ method: "GET", path: `api/v2/builds/${id}`, signal });
  if (status !== 200) throw refusal({ status, headers, value }, client.address);
  const job = readJob(value);
  if (job === undefined) throw noService(client.address.shown, `it reports no state of the build ${id}`);
  return job;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function lost({ address }: ServiceClient, id: string, error: Error): Failure {
  return new Failure("link-lost", `the connection to ${address.shown} was lost: ${error.message}`, {
    expected: `the log of the build ${id}, to its end`,
    hint: `The build continues there. Its state is at ${new URL(`api/v2/builds/${id}`, address.base).href}.`,
    cause: error,
  });
}
