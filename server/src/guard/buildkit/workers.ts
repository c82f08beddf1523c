import { create } from "@bufbuild/protobuf";
import { WorkerRecordSchema, type WorkerRecord } from "./gen/worker_pb.ts";

/** From the first, buildx reads the address of `host-gateway` in --add-host; from the second, that the engine has the containerd image store. */
const LABELS = new Set([
  "org.mobyproject.buildkit.worker.moby.host-gateway-ip",
  "org.mobyproject.buildkit.worker.snapshotter",
]);

/** Returns the properties of a worker that a tenant may see: those that describe what it can build. */
export function workerForTenant({ ID, labels, platforms, buildkitVersion }: WorkerRecord): WorkerRecord {
  return create(WorkerRecordSchema, {
    ID,
    labels: Object.fromEntries(Object.entries(labels).filter(([key]) => LABELS.has(key))),
    platforms,
    ...(buildkitVersion !== undefined && { buildkitVersion }),
  });
}
