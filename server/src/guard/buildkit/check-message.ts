import { fromBinary, type DescMessage } from "@bufbuild/protobuf";
import { planFrontend } from "./frontend.ts";
import { Control, ListWorkersRequestSchema, SolveRequestSchema, StatusRequestSchema } from "./gen/control_pb.ts";
import {
  LLBBridge,
  ReadDirRequestSchema,
  ReadFileRequestSchema,
  ReturnRequestSchema,
  SolveRequestSchema as BridgeSolveRequestSchema,
  StatFileRequestSchema,
} from "./gen/gateway_pb.ts";
import { engineIds } from "./ids.ts";
import { planSolve } from "./solve-plan.ts";
import { refuseUnknownFields } from "./unknown-fields.ts";
import { Refusal } from "../refusal.ts";
import type { Tenant } from "../tenant.ts";

/** What a client's telemetry sends: it is answered, and goes nowhere. */
const TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/** Messages whose fields are all that is checked of them without the build that they belong to */
const PLAIN: readonly DescMessage[] = [
  ListWorkersRequestSchema,
  StatusRequestSchema,
  ReturnRequestSchema,
  ReadFileRequestSchema,
  ReadDirRequestSchema,
  StatFileRequestSchema,
];

/**
 * Checks one message of a gRPC call as far as it says by itself what it asks for: without the engine, the tenant's images, and the steps that a
 * Dockerfile is made of. For `explain` and the dry run.
 *
 * @param path e.g. `/moby.buildkit.v1.Control/Solve`
 * @throws Refusal
 */
export function checkMessage(path: string, message: Uint8Array, tenant: Tenant): void {
  if (path === TRACES) return;
  const method = [Control, LLBBridge]
    .flatMap((service) => (path.startsWith(`/${service.typeName}/`) ? service.methods : []))
    .find(({ parent, name }) => path === `/${parent.typeName}/${name}`);
  if (method === undefined) {
    throw new Refusal(
      "grpc.method",
      `${path.slice(0, 120)} is not allowed here: docker-over-ssh guard lets clients build from Dockerfiles`,
    );
  }
  const ids = engineIds();
  if (method.input === SolveRequestSchema) planSolve(read(SolveRequestSchema, message), tenant, ids);
  else if (method.input === BridgeSolveRequestSchema)
    planFrontend(read(BridgeSolveRequestSchema, message), tenant, ids);
  else {
    const schema: DescMessage = method.input;
    const value = read(schema, message);
    if (PLAIN.includes(schema)) refuseUnknownFields(schema, value);
  }
}

function read<Schema extends DescMessage>(schema: Schema, message: Uint8Array) {
  try {
    return fromBinary(schema, message);
  } catch (error) {
    throw new Refusal("grpc.message", `the message is not a ${schema.typeName}`, { statusCode: 400, cause: error });
  }
}
