import type { Http2Session } from "node:http2";
import { createBuilds } from "./builds.ts";
import { engineIds } from "./ids.ts";
import { engineOnDemand } from "./tenant-call.ts";
import { grpcHandler } from "./serve-grpc.ts";
import { openSession } from "./sessions.ts";
import { solveForTenant, type SolveOrder, type SolveOutcome, type OnStatus } from "./solve-for-tenant.ts";
import type { BuildkitOptions, BuildkitParts } from "./parts.ts";
import type { BackendBuildkit } from "../backend.ts";
import type { Caller } from "../caller.ts";

export interface GuardedBuildkit extends BackendBuildkit {
  /** Builds for a client that does not speak gRPC: `POST /build?version=2`. See `solveForTenant`. */
  solve(caller: Caller, order: SolveOrder, onStatus: OnStatus): Promise<SolveOutcome>;
}

/** Puts checks in front of the engine's BuildKit. Tenants' gRPC connections end at the guard, which makes its own calls to the engine. */
export function createBuildkit(options: BuildkitOptions): GuardedBuildkit {
  const parts: BuildkitParts = { ...options, ids: engineIds() };
  const builds = createBuilds(parts);
  const handle = grpcHandler(parts, builds);
  const engines = engineConnections(parts);
  return {
    handle(caller, request, response) {
      const { session } = request.stream;
      if (session === undefined) return; // the connection was closed in the meantime
      const engine = engines(session);
      handle({ caller, engine: async () => engine.get() }, request, response);
    },
    openSession: async (caller, session) => openSession(parts, builds, caller, session),
    solve: async (caller, order, onStatus) => solveForTenant(parts, builds, caller, order, onStatus),
  };
}

/** Returns a function that finds the connection to the engine that belongs to a tenant's connection. Both are closed together. */
function engineConnections(parts: BuildkitParts): (session: Http2Session) => ReturnType<typeof engineOnDemand> {
  const known = new WeakMap<object, ReturnType<typeof engineOnDemand>>();
  return (session) => {
    const before = known.get(session);
    if (before !== undefined) return before;
    const closed = new AbortController();
    const engine = engineOnDemand(parts, closed.signal);
    known.set(session, engine);
    session.once("close", () => {
      closed.abort();
      void engine[Symbol.asyncDispose]();
    });
    return engine;
  };
}
