import { createBuilds } from "./builds.ts";
import { engineIds } from "./ids.ts";
import { grpcHandler, serveGrpc, type GrpcHandler } from "./serve-grpc.ts";
import { openSession } from "./sessions.ts";
import { solveForTenant, type SolveOrder, type SolveOutcome, type OnStatus } from "./solve-for-tenant.ts";
import type { BuildkitOptions, BuildkitParts } from "./parts.ts";
import type { BackendBuildkit } from "../backend.ts";
import type { Caller } from "../caller.ts";

export interface GuardedBuildkit extends BackendBuildkit {
  /** Builds for a client that does not speak gRPC: `POST /build?version=2`. See `solveForTenant`. */
  solve(caller: Caller, order: SolveOrder, onStatus: OnStatus): Promise<SolveOutcome>;
}

/** Puts the engine's BuildKit behind checks: gRPC of tenants ends here, and is asked anew. */
export function createBuildkit(options: BuildkitOptions): GuardedBuildkit {
  const parts: BuildkitParts = { ...options, ids: engineIds() };
  const builds = createBuilds(parts);
  /** Handlers of connections that also carry other requests */
  const handlers = new WeakMap<object, GrpcHandler>();
  return {
    serve: async (caller, connection) => serveGrpc(parts, builds, caller, connection),
    handle(caller, request, response) {
      const session = request.stream.session;
      const known = session === undefined ? undefined : handlers.get(session);
      if (known !== undefined || session === undefined) {
        known?.(request, response);
        return;
      }
      const handler = grpcHandler(parts, builds, caller);
      handlers.set(session, handler.handle);
      session.once("close", () => void handler[Symbol.asyncDispose]());
      handler.handle(request, response);
    },
    openSession: async (caller, session) => openSession(parts, caller, session),
    solve: async (caller, order, onStatus) => solveForTenant(parts, builds, caller, order, onStatus),
  };
}
