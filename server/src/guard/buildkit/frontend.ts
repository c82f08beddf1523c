import { create, toBinary } from "@bufbuild/protobuf";
import { buildHeader } from "./build-header.ts";
import { checkAttributes, SYNTAX } from "./attributes.ts";
import { checkBases, type BaseRules } from "./check-bases.ts";
import { refuseCacheImports } from "./cache-options.ts";
import { checkFrontend, refusedInputs, refusedLlb } from "./solve-plan.ts";
import { definitionsOf } from "./results.ts";
import { warnOfSyntax } from "./syntax.ts";
import { undisclosedBase, refusedSource } from "./refused-source.ts";
import { Refusal } from "../refusal.ts";
import { refuseUnknownFields } from "./unknown-fields.ts";
import { checkSteps, type StepRules, type UsedBase } from "./check-steps.ts";
import { withOwnAttributes } from "./own-attributes.ts";
import { ResultSchema, SolveRequestSchema, type Result, type SolveRequest } from "./gen/gateway_pb.ts";
import { sessionsOf, type RunningBuild } from "./builds.ts";
import type { Definition } from "./gen/ops_pb.ts";
import { checkId, type EngineIds } from "./ids.ts";
import type { Tenant } from "../tenant.ts";

/** Results that are stored for one build, and their bytes. buildx requests one, or two for a report; an engine's answer has at most 16 MB. */
const MAX_RESULTS = 100;
const MAX_RESULT_BYTES = 32 * 1024 * 1024;

/** A request to the frontend, parsed and checked. */
export interface FrontendRequest {
  attributes: Record<string, string>;
  /** As in a {@link SolvePlan} */
  syntax: string | undefined;
  evaluates: boolean;
}

/**
 * Parses and checks the request of `LLBBridge.Solve`.
 *
 * @throws Refusal
 */
export function planFrontend(request: SolveRequest, tenant: Tenant, ids: EngineIds): FrontendRequest {
  const { definition, frontend, frontendOpt, frontendInputs, cacheImports, sourcePolicies, evaluate } = request;
  if (definition !== undefined && definition.def.length > 0) throw refusedLlb();
  if (Object.keys(frontendInputs).length > 0) throw refusedInputs();
  if (sourcePolicies.length > 0) {
    throw new Refusal(
      "source-policy.refused",
      "the guard sets the source policy of builds: a build cannot have its own",
    );
  }
  if (request.final || request.exporterAttr.length > 0) {
    throw new Refusal(
      "grpc.old",
      "this client of BuildKit is too old: it returns results in a way that cannot be checked",
    );
  }
  checkFrontend(frontend, false);
  refuseCacheImports(cacheImports);
  // After the checks above: forbidden parts may be large, and need not be searched for unknown fields.
  refuseUnknownFields(SolveRequestSchema, request);
  return {
    attributes: checkAttributes(frontendOpt, {
      policy: tenant.policy,
      resources: tenant.resources,
      sessionOf: (id) => ids.session(tenant.id, checkId(id, "session")),
    }),
    syntax: frontendOpt[SYNTAX],
    evaluates: evaluate,
  };
}

/**
 * Has dockerfile.v0 create the steps of a Dockerfile, checks them, and stores them for `Return`. No step has run when it resolves. The requests of a build
 * run one at a time.
 *
 * @throws Refusal
 */
export async function solveFrontend(
  build: RunningBuild,
  request: FrontendRequest,
  names: TenantIds,
  signal: AbortSignal,
): Promise<Result> {
  const solved = build.lastSolve.then(async () => {
    signal.throwIfAborted();
    return await solveAlone(build, request, names, signal);
  });
  build.lastSolve = solved.catch(() => {});
  return await solved;
}

interface TenantIds {
  tenant: Tenant;
  ids: EngineIds;
}

async function solveAlone(
  build: RunningBuild,
  request: FrontendRequest,
  { tenant, ids }: TenantIds,
  signal: AbortSignal,
): Promise<Result> {
  if (build.results.length >= MAX_RESULTS || build.resultBytes > MAX_RESULT_BYTES) {
    throw new Refusal(
      "build.results",
      `a build may ask for the steps of a Dockerfile at most ${MAX_RESULTS} times, and for at most ${MAX_RESULT_BYTES} bytes of them`,
    );
  }
  const rules = stepRules(build, tenant, ids, request);
  const attributes = withOwnAttributes(request.attributes, { tenant, ids, cgroupParent: build.cgroupParent });
  const baseRules: BaseRules = {
    policy: tenant.policy,
    own: build.own,
    isOnHost: build.isOnHost,
    support: build.support,
    digestOf: async (base, name) => digestOf(build, base, name, signal),
  };
  const checked = async (frontendOpt: Record<string, string>): Promise<CheckedResult> => {
    const result = await askFrontend(build, frontendOpt, signal).catch((error: unknown) => {
      throw refusedSource(error, tenant.policy, build) ?? error;
    });
    const definitions = definitionsOf(result);
    const used: UsedBase[] = [];
    for (const definition of definitions) used.push(...(await checkSteps(definition, rules)));
    const bases = await checkBases(used, baseRules).catch((error: unknown) => {
      const disclosesBase = error instanceof Refusal && /^(?:base\.refused|name\.reserved)$/.test(error.rule);
      throw disclosesBase && !build.support.hasSourcePolicies ? undisclosedBase(tenant.policy) : error;
    });
    return { result, definitions, ...bases };
  };
  let answer = await checked(attributes);
  if (answer.mustPull) answer = await checked({ ...attributes, "image-resolve-mode": "pull" });
  if (answer.mustPull) {
    throw new Refusal(
      "base.registry",
      "this engine's BuildKit did not take an image from its registry, although the guard asked for that",
    );
  }
  build.resultBytes += toBinary(ResultSchema, answer.result).length;
  build.results.push(answer.result);
  const [first] = answer.definitions;
  if (first !== undefined) await warnOfSyntax(build, first, request.syntax, signal);
  return answer.result;
}

interface CheckedResult {
  result: Result;
  definitions: Definition[];
  mustPull: boolean;
}

function stepRules(build: RunningBuild, tenant: Tenant, ids: EngineIds, request: FrontendRequest): StepRules {
  for (const session of sessionsOf(request.attributes)) build.sessions.add(session);
  return {
    policy: tenant.policy,
    resources: tenant.resources,
    sessions: build.sessions,
    cgroupParent: build.cgroupParent,
    ulimits: tenant.resources.ulimits,
    cacheNamespace: ids.cacheNamespace(tenant.id),
    cacheHost: tenant.policy.sharesCache ? undefined : ids.cacheHost(tenant.id),
  };
}

async function askFrontend(
  { gateway, plan }: RunningBuild,
  frontendOpt: Record<string, string>,
  signal: AbortSignal,
): Promise<Result> {
  const { result } = await gateway.solve(
    {
      frontend: "dockerfile.v0",
      frontendOpt,
      allowResultReturn: true,
      allowResultArrayRef: true,
      // Steps must not run before they are checked.
      evaluate: false,
    },
    { headers: buildHeader(plan.engineRef), signal },
  );
  return result ?? create(ResultSchema);
}

async function digestOf(
  { gateway, plan }: RunningBuild,
  { resolveMode, platform }: UsedBase,
  ref: string,
  signal: AbortSignal,
): Promise<string> {
  const { digest } = await gateway.resolveImageConfig(
    { ref, resolveMode: resolveMode === "" ? "default" : resolveMode, ...(platform !== undefined && { platform }) },
    { headers: buildHeader(plan.engineRef), signal },
  );
  return digest;
}
