import { checkAttributes, SYNTAX } from "./attributes.ts";
import { checkCacheExport, refuseCacheImports, type CacheEntry } from "./cache-options.ts";
import { checkExporter, type PlannedExporter } from "./exporters.ts";
import { Refusal } from "../refusal.ts";
import { refuseUnknownFields } from "./unknown-fields.ts";
import { SolveRequestSchema, type CacheOptions, type SolveRequest } from "./gen/control_pb.ts";
import { checkId, type EngineIds } from "./ids.ts";
import type { Policy } from "../policy/policy.ts";
import type { Tenant } from "../tenant.ts";

/** The request of `Control.Solve`, parsed and checked. Names and IDs are the engine's. */
export interface SolvePlan {
  /** The tenant's ref of the build */
  ref: string;
  engineRef: string;
  engineSession: string | undefined;
  /** Whether the client calls the gateway itself, as buildx does, or requests the frontend dockerfile.v0 directly. */
  isGatewayClient: boolean;
  attributes: Record<string, string>;
  /** The frontend that the client requests in a build argument, which the guard ignores */
  syntax: string | undefined;
  exporters: PlannedExporter[];
  cacheExports: CacheEntry[];
  isInternal: boolean;
}

/**
 * Parses and checks the request of `Control.Solve`.
 *
 * @throws Refusal
 */
export function planSolve(request: SolveRequest, tenant: Tenant, ids: EngineIds): SolvePlan {
  // First, because forbidden parts may be large and need not be searched for unknown fields.
  refuseForbidden(request);
  refuseUnknownFields(SolveRequestSchema, request);
  const { ref, session, frontend } = request;
  return {
    ref: checkId(ref, "build"),
    engineRef: ids.build(tenant.id, ref),
    engineSession: session === "" ? undefined : ids.session(tenant.id, checkId(session, "session")),
    isGatewayClient: frontend === "",
    attributes: checkAttributes(request.frontendAttrs, {
      policy: tenant.policy,
      resources: tenant.resources,
      sessionOf: (id) => ids.session(tenant.id, checkId(id, "session")),
    }),
    syntax: request.frontendAttrs[SYNTAX],
    exporters: exportersOf(request).map((exporter) => checkExporter(tenant, exporter)),
    cacheExports: cacheExports(request.cache, tenant.policy),
    isInternal: request.internal,
  };
}

function refuseForbidden(request: SolveRequest): void {
  const { definition, entitlements, frontendInputs, frontend, sourcePolicy, sourcePolicySession, proxyNetwork } =
    request;
  if (request.exporters.length > 1) {
    throw new Refusal("exporter.several", "a build may have one output here: omit the other --output");
  }
  if (definition !== undefined && definition.def.length > 0) throw refusedLlb();
  if (Object.keys(frontendInputs).length > 0) throw refusedInputs();
  if (entitlements.includes("network.host")) {
    throw new Refusal("network.host", "builds may not use the host's network: omit --network=host");
  }
  if (entitlements.length > 0) {
    throw new Refusal(
      "entitlement.refused",
      `builds get no entitlement here (${entitlements.join(", ").slice(0, 200)}): omit --allow`,
    );
  }
  if (sourcePolicy !== undefined || sourcePolicySession !== "") {
    throw new Refusal(
      "source-policy.refused",
      "the guard sets the source policy of builds: a build cannot have its own",
    );
  }
  if (proxyNetwork) throw new Refusal("network.proxy", "builds may not use the builder's proxy network");
  checkFrontend(frontend, true);
}

/** @param mayBeEmpty true if the client calls the gateway itself */
export function checkFrontend(frontend: string, mayBeEmpty: boolean): void {
  if (frontend === "dockerfile.v0" || (mayBeEmpty && frontend === "")) return;
  throw new Refusal(
    "frontend.refused",
    `the frontend "${frontend.slice(0, 80)}" may not be used here: only dockerfile.v0, which reads a Dockerfile`,
  );
}

export function refusedLlb(): Refusal {
  return new Refusal("llb.raw", "a build must be a Dockerfile here: steps in BuildKit's own format (LLB) are refused");
}

export function refusedInputs(): Refusal {
  return new Refusal(
    "frontend.inputs",
    "a build cannot use the result of another build directly: build that one first, and use its image",
  );
}

/** Returns the exporters. Old engines know one exporter, in separate fields; clients set both forms. */
function exportersOf({ exporters, exporterDeprecated, exporterAttrsDeprecated }: SolveRequest): PlannedExporter[] {
  const [only] = exporters;
  if (only === undefined && exporterDeprecated === "") return [];
  return [only ?? { type: exporterDeprecated, attrs: exporterAttrsDeprecated }];
}

function cacheExports(cache: CacheOptions | undefined, policy: Policy): CacheEntry[] {
  if (cache === undefined) return [];
  if (cache.exportRefDeprecated !== "" || Object.keys(cache.exportAttrsDeprecated).length > 0) {
    throw new Refusal("cache.export", "a cache may not be written in this way here");
  }
  refuseCacheImports([...cache.imports, ...cache.importRefsDeprecated]);
  return cache.exports.map((entry) => checkCacheExport(entry, policy));
}
