import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import type { DescMessage } from "@bufbuild/protobuf";
import { createContextValues } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { auditing, writeUnread } from "./audit-calls.ts";
import { checkFields } from "./check-fields.ts";
import { controlService } from "./control-service.ts";
import { gatewayService } from "./gateway-service.ts";
import { limitHeldBytes, inspectMessages } from "./inspect-messages.ts";
import { answerUnsupported } from "./unsupported-calls.ts";
import { withCall, type TenantCall } from "./tenant-call.ts";
import { Control } from "./gen/control_pb.ts";
import { LLBBridge } from "./gen/gateway_pb.ts";
import type { BuildkitDependencies } from "./dependencies.ts";
import type { Builds } from "./builds.ts";

/** Bytes of a tenant's message. By default, gRPC servers in Go accept no larger ones. */
const MAX_MESSAGE = 4 * 1024 * 1024;
/** Bytes of the messages of all open calls of a tenant. Those of a build have some hundred kilobytes. */
const MAX_HELD = 8 * MAX_MESSAGE;

/** The message type of each call, and whether the client sends one message or many */
const CALLS: ReadonlyMap<string, { input: DescMessage; isStream: boolean }> = new Map(
  [Control, LLBBridge].flatMap(({ typeName, methods }) =>
    methods.map(({ name, input, methodKind }) => {
      const isStream = methodKind === "bidi_streaming" || methodKind === "client_streaming";
      return [`/${typeName}/${name}`, { input, isStream }] as const;
    }),
  ),
);

export type GrpcHandler = (call: TenantCall, request: Http2ServerRequest, response: Http2ServerResponse) => void;

/** Returns a function that answers the gRPC calls of all tenants. */
export function grpcHandler(dependencies: BuildkitDependencies, builds: Builds): GrpcHandler {
  const calls = new WeakMap<object, TenantCall>();
  const hold = limitHeldBytes(MAX_HELD);
  const answer = connectNodeAdapter({
    grpc: true,
    grpcWeb: false,
    connect: false,
    readMaxBytes: MAX_MESSAGE,
    writeMaxBytes: 4 * MAX_MESSAGE,
    // No client of BuildKit compresses, and compression gains nothing on a socket.
    acceptCompression: [],
    // Reduces answers of the engine to known fields.
    binaryOptions: { writeUnknownFields: false },
    interceptors: [auditing(dependencies.audit)],
    contextValues: (request) => withCall(createContextValues(), calls.get(request)),
    routes: (router) => {
      router.service(Control, controlService(dependencies, builds));
      router.service(LLBBridge, gatewayService(dependencies, builds));
    },
    fallback: (request, response) => {
      const call = calls.get(request);
      if (call !== undefined) {
        answerUnsupported(
          dependencies.audit,
          call.caller,
          request as Http2ServerRequest,
          response as Http2ServerResponse,
        );
      }
    },
  });
  return (call, request, response) => {
    calls.set(request, call);
    response.stream.on("error", () => {}); // the handler also gets the error
    writeUnread(dependencies.audit, call.caller, request, response);
    const calledMethod = CALLS.get(request.url);
    if (calledMethod !== undefined) {
      const { input, isStream } = calledMethod;
      inspectMessages(request, {
        isStream,
        maxBytes: MAX_MESSAGE,
        hold: (bytes) => hold(call.caller.tenant.id, bytes),
        check: (message) => checkFields(input, message),
      });
    }
    // Clients themselves reset a call that has timed out. A very long timeout would make Node print a warning.
    delete request.headers["grpc-timeout"];
    answer(request, response);
  };
}
