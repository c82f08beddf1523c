import type { FastifyPluginAsync } from "fastify";
import type { JobStore } from "../../store/job-store.ts";
import { healthRoutes } from "./health.ts";
import type { Metrics } from "../metrics/metrics.ts";
import { metricsRoutes } from "./metrics-routes.ts";
import { workerRoutes } from "./workers.ts";

export interface OperationRouteOptions {
  store: Pick<JobStore, "workers">;
  metrics: Metrics;
  stopping?: AbortSignal | undefined;
}

/** Routes that report the state of the server to its operator. */
export function operationRoutes({ store, metrics, stopping }: OperationRouteOptions): FastifyPluginAsync {
  return async (app) => {
    await app.register(healthRoutes(store, stopping));
    await app.register(metricsRoutes(metrics));
    await app.register(workerRoutes(store));
  };
}
