import type { Http2Session } from "node:http2";
import { createBuilds } from "./builds.ts";
import { engineIds } from "./ids.ts";
import { engineOnDemand } from "./tenant-call.ts";
import { grpcHandler } from "./serve-grpc.ts";
import { openSession } from "./sessions.ts";
import { solveForTenant, type SolveOrder, type SolveOutcome, type OnStatus } from "./solve-for-tenant.ts";
import type { BuildkitOptions, BuildkitDependencies } from "./dependencies.ts";
import type { BackendBuildkit } from "../backend.ts";
import type { Caller } from "../caller.ts";

export interface GuardedBuildkit extends BackendBuildkit {
  /** Builds for a client that does not speak gRPC: `POST /build?version=2`. See `solveForTenant`. */
  solve(caller: Caller, order: SolveOrder, onStatus: OnStatus): Promise<SolveOutcome>;
}

/** Puts checks in front of the engine's BuildKit. Tenants' gRPC connections end at the guard, which makes its own calls to the engine. */
export function createBuildkit(options: BuildkitOptions): GuardedBuildkit {
  const dependencies: BuildkitDependencies = { ...options, ids: engineIds() };
  const builds = createBuilds(dependencies);
  const handle = grpcHandler(dependencies, builds);
  const engines = engineConnections(dependencies);
  return {
    handle(caller, request, response) {
      const { session } = request.stream;
      if (session === undefined) return; // the connection was closed in the meantime
      const engine = engines(session);
      handle({ caller, engine: async () => engine.get() }, request, response);
    },
    openSession: async (caller, session) => openSession(dependencies, builds, caller, session),
    solve: async (caller, order, onStatus) => solveForTenant(dependencies, builds, caller, order, onStatus),
  };
}

/** Returns a function that finds the connection to the engine that belongs to a tenant's connection. Both are closed together. */
function engineConnections(
  dependencies: BuildkitDependencies,
): (session: Http2Session) => ReturnType<typeof engineOnDemand> {
  const known = new WeakMap<object, ReturnType<typeof engineOnDemand>>();
  return (session) => {
    const before = known.get(session);
    if (before !== undefined) return before;
    const closed = new AbortController();
    const engine = engineOnDemand(dependencies, closed.signal);
    known.set(session, engine);
    session.once("close", () => {
      closed.abort();
      void engine[Symbol.asyncDispose]();
    });
    return engine;
  };
}
