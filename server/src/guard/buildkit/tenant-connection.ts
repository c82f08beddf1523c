import type { GrpcConnection } from "docker-over-ssh/builds";
import type { BuildkitParts } from "./parts.ts";
import type { Builds } from "./builds.ts";
import type { Caller } from "../caller.ts";

/** A tenant's connection, and what answers its calls. */
export interface TenantConnection {
  caller: Caller;
  parts: BuildkitParts;
  builds: Builds;
  /** The connection to the engine that belongs to it: opened by the first call, closed with it. */
  engine: () => Promise<GrpcConnection>;
}

/** Opens the engine's connection when it is asked for, and again when it has closed. Disposing closes it. */
export function engineOnDemand(
  { engine }: BuildkitParts,
  signal: AbortSignal,
): { get: () => Promise<GrpcConnection> } & AsyncDisposable {
  let opened: Promise<GrpcConnection> | undefined;
  return {
    async get() {
      if (opened !== undefined && !(await opened).isClosed) return opened;
      const opening = engine.grpc(signal);
      opened = opening;
      opening.catch(() => {
        if (opened === opening) opened = undefined;
      });
      return opening;
    },
    async [Symbol.asyncDispose]() {
      try {
        (await opened)?.[Symbol.dispose]();
      } catch {
        // it was never open
      }
    },
  };
}
