import { createContextKey, type ContextValues } from "@connectrpc/connect";
import type { GrpcConnection } from "docker-over-ssh/builds";
import type { BuildkitDependencies } from "./dependencies.ts";
import type { Caller } from "../caller.ts";

/** A gRPC call of a tenant. */
export interface TenantCall {
  /** The caller with the tenant's current policy, which may have changed since the connection was opened */
  caller: Caller;
  /** Returns the connection to the engine that belongs to the tenant's connection. The first call opens it; it is closed with the tenant's. */
  engine: () => Promise<GrpcConnection>;
}

const CALL = createContextKey<TenantCall | undefined>(undefined);

/** Stores the call in the values from which its service reads it. */
export function withCall(values: ContextValues, call: TenantCall | undefined): ContextValues {
  return values.set(CALL, call);
}

export function callOf(values: ContextValues): TenantCall {
  const call = values.get(CALL);
  if (call === undefined) throw new Error("a gRPC call without a tenant");
  return call;
}

/** Opens the engine's connection when it is needed, and again if it was closed. Disposing closes it. */
export function engineOnDemand(
  { engine }: Pick<BuildkitDependencies, "engine">,
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
        // it was never opened
      }
    },
  };
}
