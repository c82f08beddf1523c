import type { FastifyPluginAsync } from "fastify";
import { Type } from "typebox";
import type { Client } from "../../access/client.ts";
import type { Job } from "../../jobs/job.ts";
import { clientOf, isStillClient, seesJob } from "../http/auth.ts";
import type { JobFeed } from "./job-feed.ts";
import { jobEventEncoder, jobEvents } from "./job-stream.ts";
import { PROBLEMS } from "../shapes/schemas.ts";
import { sendStream } from "./send-stream.ts";
import { EVENT_STREAM, type StreamSettings } from "./stream-settings.ts";

export interface EventRouteOptions {
  feed: JobFeed;
  settings: StreamSettings;
  /** Returns the view of a job for clients */
  view: (job: Job) => unknown;
  /**
   * Counts a reader; disposing removes it from the count. Throws ProblemError 429 if the client has too many streams.
   */
  countReader: (stream: "jobs", client: Client) => Disposable;
}

const SCHEMA = {
  operationId: "watchBuilds",
  tags: ["builds"],
  summary: "Watch builds as they change",
  description:
    "Server-sent events: `job` with a build whenever it changes, including new builds; one's own builds, or all with the scope `admin`. If a " +
    "reader is too slow, changes are skipped, and it gets the newest state of each build. A stream cannot be resumed: open the stream first, then list the " +
    "builds, and list them again after each reconnection.",
  response: {
    200: { description: "The events", content: { "text/event-stream": { schema: Type.String() } } },
    ...PROBLEMS,
  },
} as const;

/** Routes that send changed jobs as events. */
export function eventRoutes({ feed, settings, view, countReader }: EventRouteOptions): FastifyPluginAsync {
  const encode = jobEventEncoder(view);
  return async (app) => {
    app.get(
      "/api/v2/events",
      { config: { scope: "read" }, schema: SCHEMA, exposeHeadRoute: false },
      async (request, reply) => {
        const client = clientOf(request);
        const reader = feed.readJobs((job) => seesJob(client, job), countReader("jobs", client));
        const chunks = jobEvents(reader, { heartbeat: settings.heartbeat, encode });
        return sendStream(reply, chunks, {
          contentType: EVENT_STREAM,
          wakeup: reader,
          stall: settings.stall,
          mayRead: () => isStillClient(request),
          recheck: settings.heartbeat,
        });
      },
    );
  };
}
