import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, decodeBinaryHeader, encodeBinaryHeader } from "@connectrpc/connect";
import { grpcSentence } from "../http/grpc-message.ts";
import { withTenantNames } from "../images/names.ts";
import { Refusal } from "../refusal.ts";
import { StatusSchema, type Status } from "./gen/gateway_pb.ts";

const DETAILS = "grpc-status-details-bin";
/** Maximum bytes of the details, which are sent in a header and contain the whole Dockerfile */
const MAX_DETAILS = 48 * 1024;

/**
 * Details of BuildKit's errors that clients print, e.g. the lines of the Dockerfile. Others, such as stack traces of the engine, are omitted.
 * The names are containerd's type URLs, with any prefix.
 */
const DETAIL = /\/errdefs\.(?:Source|Vertex|Subrequest|FrontendCap)(?:\+json)?$/;

/** gRPC codes of refusals. 403 becomes `Unknown`, because buildx prefixes the message with any other code, once for each call that the error passes. */
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

/** Returns the error for a tenant's client, with the tenant's names. `error` is a Refusal or an error of the engine. */
export function grpcError(tenant: string, error: unknown): ConnectError {
  if (error instanceof Refusal) {
    return new ConnectError(grpcSentence(error.message), CODES[error.statusCode] ?? Code.Internal);
  }
  if (!(error instanceof ConnectError)) return new ConnectError("docker-over-ssh guard has failed", Code.Internal);
  const metadata = new Headers();
  const details = error.metadata.get(DETAILS);
  if (details !== null) {
    const status = withNames(tenant, printedDetails(details));
    const bytes = toBinary(StatusSchema, status);
    if (status.details.length > 0 && bytes.length <= MAX_DETAILS) metadata.set(DETAILS, encodeBinaryHeader(bytes));
  }
  return new ConnectError(grpcSentence(withTenantNames(tenant, error.rawMessage)), error.code, metadata);
}

function printedDetails(header: string): Status {
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
