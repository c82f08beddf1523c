import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyPluginAsync } from "fastify";
import { Type } from "typebox";
import type { Client } from "../../access/client.ts";
import type { Job } from "../../jobs/job.ts";
import type { JobStore } from "../../store/job-store.ts";
import { clientOf, isStillClient } from "../http/auth.ts";
import { findJob } from "../builds/builds.ts";
import { PROBLEMS } from "../shapes/schemas.ts";
import type { JobFeed } from "./job-feed.ts";
import { END_ID, logEvents, textLog } from "./log-stream.ts";
import { sendStream } from "./send-stream.ts";
import { EVENT_STREAM, type StreamSettings } from "./stream-settings.ts";

export interface LogRouteOptions {
  store: Pick<JobStore, "get">;
  feed: JobFeed;
  settings: StreamSettings;
  /** Returns the view of a job for clients */
  view: (job: Job) => unknown;
  /**
   * Counts a reader; disposing removes it from the count. Throws ProblemError 429 if the client has too many streams.
   */
  countReader: (stream: "log", client: Client) => Disposable;
}

const LINE_ID = /^[!-~]{1,200}$/;

const SCHEMA = {
  operationId: "readLog",
  tags: ["builds"],
  summary: "Read the log of a build",
  description:
    "Returns the log as text, or as server-sent events if the request accepts `text/event-stream`. Lines are as the builder wrote them, colours of " +
    "terminals included.\n\n" +
    "Events: `log` for each line (its `id` identifies the line), `job` with the build at the start and when its state changes, and `end` when the " +
    "build is over and its log complete. A broken stream continues after the line of `Last-Event-ID`; after `end`, the response is 204. A comment is sent " +
    "after every 15 s without an event. A reader that receives nothing for 60 s is dropped.",
  params: Type.Object({ id: Type.String({ description: "ID of the build" }) }),
  querystring: Type.Object(
    {
      follow: Type.Optional(
        Type.Unsafe<"true" | "false">({
          type: "string",
          enum: ["true", "false"],
          description: "For text: keep the response open until the build is over. Event streams always stay open.",
        }),
      ),
      after: Type.Optional(
        Type.String({
          pattern: LINE_ID.source,
          description: "ID of the last known line: the response begins after it.",
        }),
      ),
    },
    { additionalProperties: false },
  ),
  headers: Type.Object({
    "last-event-id": Type.Optional(
      Type.String({ description: "Same as `after`, and has priority; browsers send it when they reconnect." }),
    ),
  }),
  response: {
    200: {
      description: "The log",
      content: {
        "text/plain": { schema: Type.String() },
        "text/event-stream": { schema: Type.String() },
      },
    },
    204: Type.Null({ description: "Event stream: the reader already has the complete log." }),
    ...PROBLEMS,
  },
} as const;

/** Routes that send the log of a job, as text or as events. */
export function logRoutes({ store, feed, settings, view, countReader }: LogRouteOptions): FastifyPluginAsync {
  return async (app) => {
    app
      .withTypeProvider<TypeBoxTypeProvider>()
      .get(
        "/api/v2/builds/:id/logs",
        { config: { scope: "read" }, schema: SCHEMA, exposeHeadRoute: false },
        async (request, reply) => {
          const client = clientOf(request);
          const job = await findJob(store, client, request.params.id);
          const lastId = request.headers["last-event-id"];
          const isEvents = (request.headers.accept ?? "").includes(EVENT_STREAM);
          if (isEvents && lastId === END_ID) return reply.code(204).send(null);
          // An ID that no store assigns counts as the start.
          const after = lastId !== undefined && LINE_ID.test(lastId) ? lastId : request.query.after;
          const follower = feed.follow(job.id, countReader("log", client));
          const chunks = isEvents
            ? logEvents(feed, job, follower, { after, view, ...settings })
            : textLog(feed, job, follower, { after, follow: request.query.follow === "true", ...settings });
          const contentType = isEvents ? EVENT_STREAM : "text/plain; charset=utf-8";
          return sendStream(reply, chunks, {
            contentType,
            wakeup: follower,
            stall: settings.stall,
            mayRead: () => isStillClient(request),
            recheck: settings.heartbeat,
          });
        },
      );
  };
}
