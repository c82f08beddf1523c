import { create } from "@bufbuild/protobuf";
import { WorkerRecordSchema, type WorkerRecord } from "./gen/worker_pb.ts";

/** The first tells buildx the address of `host-gateway` in --add-host; the second, that the engine has the containerd image store. */
const LABELS = new Set([
  "org.mobyproject.buildkit.worker.moby.host-gateway-ip",
  "org.mobyproject.buildkit.worker.snapshotter",
]);

/** What a tenant may know of a worker: what it can build. */
export function workerForTenant({ ID, labels, platforms, buildkitVersion }: WorkerRecord): WorkerRecord {
  return create(WorkerRecordSchema, {
    ID,
    labels: Object.fromEntries(Object.entries(labels).filter(([key]) => LABELS.has(key))),
    platforms,
    ...(buildkitVersion !== undefined && { buildkitVersion }),
  });
}
