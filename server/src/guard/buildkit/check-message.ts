import { fromBinary, type DescMethod } from "@bufbuild/protobuf";
import { messageOf } from "docker-over-ssh/builds";
import { engineIds } from "./ids.ts";
import { planFrontend } from "./frontend.ts";
import { planSolve } from "./solve-plan.ts";
import { Refusal } from "../refusal.ts";
import { refuseUnknownFields } from "./unknown-fields.ts";
import { Control, SolveRequestSchema } from "./gen/control_pb.ts";
import { LLBBridge, SolveRequestSchema as FrontendRequestSchema } from "./gen/gateway_pb.ts";
import type { Tenant } from "../tenant.ts";

/** Gateway calls that no tenant needs, because buildx does not make them */
const REFUSED = new Set(["ResolveImageConfig", "Warn"]);
/** The call that sends traces. The guard answers it and discards them. */
export const TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

const METHODS: ReadonlyMap<string, DescMethod> = new Map(
  [Control, LLBBridge].flatMap((service) =>
    service.methods
      .filter(({ name }) => !REFUSED.has(name))
      .map((method): [string, DescMethod] => [`/${service.typeName}/${method.name}`, method]),
  ),
);

/**
 * Checks the message of a call as far as that is possible without an engine. The steps of a Dockerfile, for instance, are unknown.
 *
 * @param path e.g. `/moby.buildkit.v1.Control/Solve`
 * @param message without gRPC's frame
 * @throws Refusal
 */
export function checkMessage(path: string, message: Uint8Array, tenant: Tenant): void {
  if (path === TRACES) return;
  const method = METHODS.get(path);
  if (method === undefined) throw unknownCall(path);
  try {
    const ids = engineIds();
    switch (method.input.typeName) {
      case SolveRequestSchema.typeName:
        planSolve(fromBinary(SolveRequestSchema, message), tenant, ids);
        return;
      case FrontendRequestSchema.typeName:
        planFrontend(fromBinary(FrontendRequestSchema, message), tenant, ids);
        return;
      default:
        refuseUnknownFields(method.input, fromBinary(method.input, message));
    }
  } catch (error) {
    if (error instanceof Refusal) throw error;
    throw new Refusal("grpc.message", `the message of ${path} cannot be read: ${messageOf(error)}`, {
      statusCode: 400,
    });
  }
}

/** Calls about the history, which covers all builds of the engine and names their sources */
const HISTORY = /^\/moby\.buildkit\.v1\.Control\/(?:ListenBuildHistory|UpdateBuildHistory)$/;

export function unknownCall(path: string): Refusal {
  if (HISTORY.test(path)) {
    return new Refusal(
      "grpc.history",
      "the history of builds is not available here: it covers all tenants of the engine",
    );
  }
  return new Refusal(
    "grpc.method",
    `${path.slice(0, 120)} is not allowed here: docker-over-ssh guard lets clients build from Dockerfiles`,
  );
}
