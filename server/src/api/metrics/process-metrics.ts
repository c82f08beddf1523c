import { collectDefaultMetrics, Registry } from "prom-client";

/** Metrics of Node and the process, which exist once. */
let registry: Registry | undefined;

export function processMetrics(): Registry {
  if (registry === undefined) {
    registry = new Registry();
    collectDefaultMetrics({ register: registry });
  }
  return registry;
}
