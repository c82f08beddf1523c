import { collectDefaultMetrics, Registry } from "prom-client";

/** Of Node and the process, which has them once. */
let registry: Registry | undefined;

export function processMetrics(): Registry {
  if (registry === undefined) {
    registry = new Registry();
    collectDefaultMetrics({ register: registry });
  }
  return registry;
}
