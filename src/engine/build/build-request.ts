import { formatPlatform } from "../../image/platform.ts";
import type { ApiRequest } from "../api/request.ts";
import type { BuilderKind, BuildOrder } from "../engine-builder.ts";

/** The period of the CPU quota in µs, the default of the kernel's scheduler (CFS) */
export const CPU_PERIOD = 100_000;
/** The minimum quota in µs (kernel, Documentation/scheduler/sched-bwc.rst) */
export const MIN_CPU_QUOTA = 1_000;

/** How an order is built, and where its files come from. */
export interface BuildMethod {
  kind: BuilderKind;
  /** The ID of the session, if there is one */
  session?: string | undefined;
  /** Whether the builder gets the files through the session */
  syncsFiles: boolean;
}

/** Returns the parameters of `POST /build` (moby, `api/docs/v1.41.yaml`, ImageBuild). */
export function buildParameters(order: BuildOrder, method: BuildMethod): Pick<ApiRequest, "query" | "repeated"> {
  const { kind, session, syncsFiles } = method;
  const { platform, cacheFrom, git } = order;
  return {
    query: {
      dockerfile: order.dockerfile,
      target: order.target,
      buildargs: given(order.buildArgs),
      labels: given(order.labels),
      platform: platform && formatPlatform(platform),
      nocache: order.noCache || undefined,
      pull: order.pull || undefined,
      cachefrom: cacheFrom.length === 0 ? undefined : cacheFrom,
      ...network(order, kind),
      remote: git ?? (syncsFiles ? "client-session" : undefined),
      ...(kind === "buildkit" ? { version: 2, session } : { rm: true, forcerm: true, ...limits(order) }),
    },
    repeated: { t: order.names },
  };
}

/**
 * Podman's `networkmode` has its own values. It treats unknown values as the default, which over the API is the network of the host
 * (containers/podman, `pkg/api/handlers/compat/images_build.go`).
 */
function network({ network: mode }: BuildOrder, kind: BuilderKind): NonNullable<ApiRequest["query"]> {
  if (kind !== "buildah" || mode !== "none") return { networkmode: mode };
  return { networkmode: "NetworkDisabled", nsoptions: [{ Name: "network", Host: false, Path: "" }] };
}

/** Returns the parameters of the limits. `memswap` includes the memory, so equal values mean no swap. */
function limits({ memory, cpus }: BuildOrder): Record<string, number> {
  return {
    ...(memory !== undefined && { memory, memswap: memory }),
    ...(cpus !== undefined && {
      cpuperiod: CPU_PERIOD,
      cpuquota: Math.max(MIN_CPU_QUOTA, Math.round(cpus * CPU_PERIOD)),
    }),
  };
}

function given(values: Readonly<Record<string, string>>): object | undefined {
  return Object.keys(values).length === 0 ? undefined : values;
}
