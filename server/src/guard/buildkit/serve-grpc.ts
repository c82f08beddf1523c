import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import type { DescMessage } from "@bufbuild/protobuf";
import { createContextValues } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { auditing, writeUnread } from "./audit-calls.ts";
import { checkFields } from "./check-fields.ts";
import { controlService } from "./control-service.ts";
import { gatewayService } from "./gateway-service.ts";
import { holdAtMost, lookAtMessages } from "./look-at-messages.ts";
import { otherCall } from "./other-calls.ts";
import { withCall, type TenantCall } from "./tenant-call.ts";
import { Control } from "./gen/control_pb.ts";
import { LLBBridge } from "./gen/gateway_pb.ts";
import type { BuildkitParts } from "./parts.ts";
import type { Builds } from "./builds.ts";

/** Bytes of a message of a tenant. gRPC servers in Go take no larger ones by default. */
const MAX_MESSAGE = 4 * 1024 * 1024;
/** Bytes of all messages of a tenant that are not complete. A build has one or two at a time. */
const MAX_HELD = 8 * MAX_MESSAGE;

/** What is asked by each call */
const INPUTS: ReadonlyMap<string, DescMessage> = new Map(
  [Control, LLBBridge].flatMap(({ typeName, methods }) =>
    methods.map(({ name, input }): [string, DescMessage] => [`/${typeName}/${name}`, input]),
  ),
);

export type GrpcHandler = (call: TenantCall, request: Http2ServerRequest, response: Http2ServerResponse) => void;

/** Returns what answers the gRPC calls of all tenants. */
export function grpcHandler(parts: BuildkitParts, builds: Builds): GrpcHandler {
  const calls = new WeakMap<object, TenantCall>();
  const hold = holdAtMost(MAX_HELD);
  const answer = connectNodeAdapter({
    grpc: true,
    grpcWeb: false,
    connect: false,
    readMaxBytes: MAX_MESSAGE,
    writeMaxBytes: 4 * MAX_MESSAGE,
    // No client of BuildKit compresses, and nothing is gained on a socket.
    acceptCompression: [],
    // An answer of the engine has only what is known.
    binaryOptions: { writeUnknownFields: false },
    interceptors: [auditing(parts.audit)],
    contextValues: (request) => withCall(createContextValues(), calls.get(request)),
    routes: (router) => {
      router.service(Control, controlService(parts, builds));
      router.service(LLBBridge, gatewayService(parts, builds));
    },
    fallback: (request, response) => {
      const call = calls.get(request);
      if (call !== undefined) {
        otherCall(parts.audit, call.caller, request as Http2ServerRequest, response as Http2ServerResponse);
      }
    },
  });
  return (call, request, response) => {
    calls.set(request, call);
    response.stream.on("error", () => {}); // the handler sees it, too
    writeUnread(parts.audit, call.caller, request, response);
    const input = INPUTS.get(request.url);
    if (input !== undefined) {
      lookAtMessages(request, {
        maxBytes: MAX_MESSAGE,
        hold: (bytes) => hold(call.caller.tenant.id, bytes),
        check: (message) => checkFields(input, message),
      });
    }
    // A client resets a call whose time is over. The library would have Node print a warning of a long one.
    delete request.headers["grpc-timeout"];
    answer(request, response);
  };
}
