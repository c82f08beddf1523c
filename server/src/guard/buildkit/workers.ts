import { create } from "@bufbuild/protobuf";
import { WorkerRecordSchema, type WorkerRecord } from "./gen/worker_pb.ts";

/** The label by which buildx knows what `host-gateway` in --add-host stands for */
const HOST_GATEWAY = "org.mobyproject.buildkit.worker.moby.host-gateway-ip";

/** What a tenant may know of a worker: what it can build. */
export function workerForTenant({ ID, labels, platforms, buildkitVersion }: WorkerRecord): WorkerRecord {
  const gateway = labels[HOST_GATEWAY];
  return create(WorkerRecordSchema, {
    ID,
    labels: gateway === undefined ? {} : { [HOST_GATEWAY]: gateway },
    platforms,
    ...(buildkitVersion !== undefined && { buildkitVersion }),
  });
}
