import type { FastifyPluginAsync } from "fastify";
import { Type } from "typebox";
import type { JobStore, WorkerReport } from "../../store/job-store.ts";
import { clientOf } from "../http/auth.ts";
import { rfc3339 } from "../shapes/job-view.ts";
import { PROBLEMS } from "../shapes/schemas.ts";

const BYTES = Type.Number({ description: "bytes" });

const WORKER = Type.Object(
  {
    worker: Type.String({ description: "`HOST:PID`" }),
    at: Type.String({ description: "Time of this report (RFC 3339)" }),
    engine: Type.Object({
      address: Type.String(),
      isReachable: Type.Boolean(),
      error: Type.Optional(Type.String({ description: "Reason why it cannot be reached" })),
      version: Type.Optional(Type.String()),
      disk: Type.Optional(
        Type.Object(
          { images: BYTES, cache: BYTES, volumes: BYTES, containers: BYTES },
          { description: "Disk usage of the engine" },
        ),
      ),
    }),
    places: Type.Number({ description: "Maximum number of simultaneous builds" }),
    running: Type.Number({ description: "Number of running builds" }),
    jobs: Type.Optional(Type.Array(Type.String(), { description: "With the scope `admin`: their IDs" })),
  },
  { title: "Worker", description: "A worker's report" },
);

const SCHEMA = {
  operationId: "listWorkers",
  tags: ["operation"],
  summary: "List workers and their engines",
  description: "Lists the live workers, each with its engine, the engine's version and its disk usage.",
  response: { 200: Type.Object({ workers: Type.Array(WORKER) }, { title: "WorkerList" }), ...PROBLEMS },
} as const;

export function workerRoutes(store: Pick<JobStore, "workers">): FastifyPluginAsync {
  return async (app) => {
    app.get("/api/v2/workers", { config: { scope: "read" }, schema: SCHEMA }, async (request) => {
      const isAdmin = clientOf(request).scopes.has("admin");
      const reports = await store.workers();
      return { workers: reports.map((report) => shown(report, isAdmin)) };
    });
  };
}

/** Of other owners' jobs, shows only the number. */
function shown({ worker, at, engine, places, running }: WorkerReport, isAdmin: boolean): object {
  return { worker, at: rfc3339(at), engine, places, running: running.length, ...(isAdmin && { jobs: running }) };
}
