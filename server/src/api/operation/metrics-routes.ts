import type { FastifyInstance, FastifyPluginAsync } from "fastify";
import { Type } from "typebox";
import { PROBLEMS } from "../shapes/schemas.ts";
import { EVENT_STREAM } from "../streams/stream-settings.ts";
import type { Metrics } from "../metrics/metrics.ts";

const SCHEMA = {
  operationId: "metrics",
  tags: ["operation"],
  summary: "Metrics for Prometheus",
  description:
    "Jobs by state, accepted and finished jobs, durations of phases and of the wait in the queue, durations of HTTP requests by route, readers of " +
    "streams, and the process, in Prometheus' text format. If the server has tokens, the request needs one with the scope `read` or `admin`.",
  response: {
    200: { description: "The metrics", content: { "text/plain": { schema: Type.String() } } },
    ...PROBLEMS,
  },
} as const;

export function metricsRoutes(metrics: Metrics): FastifyPluginAsync {
  return async (app) => {
    app.get("/metrics", { config: { scope: "read" }, schema: SCHEMA }, async (_request, reply) => {
      const text = await metrics.text();
      return reply.header("content-type", metrics.contentType).send(text);
    });
  };
}

/** Measures all requests of an app. Call it before routes are added. */
export function measureRequests(app: FastifyInstance, metrics: Metrics): void {
  app.addHook("onResponse", async (request, reply) => {
    if (String(reply.getHeader("content-type")).startsWith(EVENT_STREAM)) return;
    metrics.requestEnded({
      method: request.is404 ? "" : request.method,
      route: request.is404 ? "" : (request.routeOptions.url ?? ""),
      status: reply.statusCode,
      ms: reply.elapsedTime,
    });
  });
}
