import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, decodeBinaryHeader, encodeBinaryHeader } from "@connectrpc/connect";
import { grpcSentence } from "../http/grpc-message.ts";
import { withTenantNames } from "../images/names.ts";
import { Refusal } from "../refusal.ts";
import { StatusSchema, type Status } from "./gen/gateway_pb.ts";

const DETAILS = "grpc-status-details-bin";
/** Bytes. They are in a header, and contain the whole Dockerfile. */
const MAX_DETAILS = 48 * 1024;

/**
 * Details of BuildKit's errors that clients print, e.g. the lines of the Dockerfile. Others, such as stack traces of the engine, are left out.
 * The names are those of containerd's typeurl, with any prefix.
 */
const DETAIL = /\/errdefs\.(?:Source|Vertex|Subrequest|FrontendCap)(?:\+json)?$/;

/** gRPC codes of refusals. 403 is `Unknown`, because buildx prefixes the sentence with any other code, once for each call that the error has passed. */
const CODES: Readonly<Record<number, Code>> = {
  400: Code.InvalidArgument,
  403: Code.Unknown,
  404: Code.NotFound,
  409: Code.FailedPrecondition,
  413: Code.ResourceExhausted,
  429: Code.ResourceExhausted,
  502: Code.Unavailable,
  503: Code.Unavailable,
  507: Code.ResourceExhausted,
};

/** Returns the error for a tenant's client: of a Refusal, or of the engine, with the tenant's names. */
export function grpcError(tenant: string, error: unknown): ConnectError {
  if (error instanceof Refusal) {
    return new ConnectError(grpcSentence(error.message), CODES[error.statusCode] ?? Code.Internal);
  }
  if (!(error instanceof ConnectError)) return new ConnectError("docker-over-ssh guard has failed", Code.Internal);
  const metadata = new Headers();
  const details = error.metadata.get(DETAILS);
  if (details !== null) {
    const kept = withNames(tenant, keptDetails(details));
    const bytes = toBinary(StatusSchema, kept);
    if (kept.details.length > 0 && bytes.length <= MAX_DETAILS) metadata.set(DETAILS, encodeBinaryHeader(bytes));
  }
  return new ConnectError(grpcSentence(withTenantNames(tenant, error.rawMessage)), error.code, metadata);
}

function keptDetails(header: string): Status {
  try {
    const { code, message, details } = fromBinary(StatusSchema, decodeBinaryHeader(header));
    return create(StatusSchema, { code, message, details: details.filter(({ typeUrl }) => DETAIL.test(typeUrl)) });
  } catch {
    return create(StatusSchema);
  }
}

function withNames(tenant: string, status: Status): Status {
  return { ...status, message: withTenantNames(tenant, status.message) };
}
