import { create } from "@bufbuild/protobuf";
import { createClient, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import { ABOUT } from "./audit-calls.ts";
import { buildHeader, buildOf } from "./build-header.ts";
import { isSameResult, refIdsOf, refuseNoImage } from "./results.ts";
import { planFrontend, solveFrontend } from "./frontend.ts";
import { Refusal } from "../refusal.ts";
import { refuseUnknownFields } from "./unknown-fields.ts";
import { workerForTenant } from "./workers.ts";
import {
  EvaluateRequestSchema,
  LLBBridge,
  PingRequestSchema,
  ReadDirRequestSchema,
  ReadFileRequestSchema,
  ResultSchema,
  ReturnRequestSchema,
  StatFileRequestSchema,
  type Result,
} from "./gen/gateway_pb.ts";
import type { Builds, RunningBuild } from "./builds.ts";
import { callOf } from "./tenant-call.ts";
import type { BuildkitDependencies } from "./dependencies.ts";

/** Capabilities of a builder that tenants may not use */
const HIDDEN_CAPABILITY = /^(?:gateway\.exec(?:\..*)?|frontend\.inputs)$/;
/** Maximum characters of an error that a client returns */
const MAX_ERROR = 64 * 1024;

type Bridge = Pick<
  ServiceImpl<typeof LLBBridge>,
  "ping" | "solve" | "return" | "readFile" | "readDir" | "statFile" | "evaluate"
>;

/** Serves `moby.buildkit.v1.frontend.LLBBridge` to tenants: the methods that buildx calls. */
export function gatewayService(dependencies: BuildkitDependencies, builds: Builds): Bridge {
  async function findBuild({ requestHeader, signal, values }: HandlerContext): Promise<RunningBuild> {
    const ref = buildOf(requestHeader);
    const build = await builds.find(callOf(values).caller.tenant.id, ref, signal);
    if (build !== undefined) return build;
    throw new Refusal("build.unknown", `no such build: ${ref}`, { statusCode: 404 });
  }

  /** Returns the build whose results contain a part, with the options for calls about that part. */
  async function findByRef(
    ref: string,
    context: HandlerContext,
  ): Promise<{ build: RunningBuild; options: CallOptions }> {
    const build = await findBuild(context);
    if (!build.results.some((result) => refIdsOf(result).includes(ref))) {
      throw new Refusal("build.ref", "this is not a result of this build", { statusCode: 404 });
    }
    return { build, options: optionsOf(build, context) };
  }

  return {
    async ping(request, context) {
      refuseUnknownFields(PingRequestSchema, request);
      const build = await findBuild(context);
      const bridge = createClient(LLBBridge, (await callOf(context.values).engine()).transport);
      const { frontendApiCaps, llbCaps, workers } = await bridge.ping({}, optionsOf(build, context));
      return {
        frontendApiCaps: frontendApiCaps.filter(({ ID }) => !HIDDEN_CAPABILITY.test(ID)),
        llbCaps,
        workers: workers.map(workerForTenant),
      };
    },

    async solve(request, context) {
      const { tenant } = callOf(context.values).caller;
      const build = await findBuild(context);
      const plan = planFrontend(request, tenant, dependencies.ids);
      const { target = "", filename = "" } = plan.attributes;
      context.values.set(
        ABOUT,
        [target, filename].filter((text) => text !== ""),
      );
      const { signal } = optionsOf(build, context);
      const result = await solveFrontend(build, plan, { tenant, ids: dependencies.ids }, signal);
      if (plan.evaluates) {
        for (const ref of refIdsOf(result)) await build.gateway.evaluate({ ref }, optionsOf(build, context));
      }
      return { result };
    },

    async return(request, context) {
      refuseUnknownFields(ReturnRequestSchema, request);
      const build = await findBuild(context);
      const { result, error } = request;
      if (error !== undefined) {
        const message = error.message.slice(0, MAX_ERROR);
        return build.gateway.return({ error: { code: error.code, message } }, optionsOf(build, context));
      }
      const known = knownResult(build, result);
      refuseNoImage(build.plan, known);
      return build.gateway.return({ result: known }, optionsOf(build, context));
    },

    async readFile(request, context) {
      refuseUnknownFields(ReadFileRequestSchema, request);
      const { ref, filePath, range } = request;
      const { build, options } = await findByRef(ref, context);
      const part = range !== undefined && { range: { offset: range.offset, length: range.length } };
      return await inTurn(build, context, () => build.gateway.readFile({ ref, filePath, ...part }, options));
    },

    async readDir(request, context) {
      refuseUnknownFields(ReadDirRequestSchema, request);
      const { ref, dirPath, includePattern } = request;
      const { build, options } = await findByRef(ref, context);
      return await inTurn(build, context, () => build.gateway.readDir({ ref, dirPath, includePattern }, options));
    },

    async statFile(request, context) {
      refuseUnknownFields(StatFileRequestSchema, request);
      const { ref, path } = request;
      const { build, options } = await findByRef(ref, context);
      return build.gateway.statFile({ ref, path }, options);
    },

    async evaluate(request, context) {
      refuseUnknownFields(EvaluateRequestSchema, request);
      const { ref } = request;
      const { build, options } = await findByRef(ref, context);
      return build.gateway.evaluate({ ref }, options);
    },
  };
}

/**
 * Runs the calls of a build one at a time. A call is over when its client has read the answer. An answer may have 16 MB, so hundreds of calls whose client
 * does not read would fill the guard's memory.
 */
async function inTurn<T>(build: RunningBuild, { signal }: HandlerContext, call: () => Promise<T>): Promise<T> {
  const before = build.lastRead;
  const isOver = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
  build.lastRead = Promise.all([before, isOver]);
  await before;
  signal.throwIfAborted();
  return await call();
}

interface CallOptions {
  headers: Record<string, string>;
  signal: AbortSignal;
}

function optionsOf({ plan, signal }: RunningBuild, context: HandlerContext): CallOptions {
  return { headers: buildHeader(plan.engineRef), signal: AbortSignal.any([signal, context.signal]) };
}

/**
 * Returns the result to send to the engine, as its frontend has created it. A client could forge the other properties, e.g. the image's config.
 *
 * @throws Refusal `result.forged`
 */
export function knownResult({ results }: Pick<RunningBuild, "results">, given: Result | undefined): Result {
  const result = given ?? create(ResultSchema);
  const known = results.findLast((candidate) => isSameResult(result, candidate));
  if (known !== undefined) return known;
  // A client that only queries the builder's capabilities returns an empty result.
  if (refIdsOf(result).length === 0 && Object.keys(result.metadata).length === 0) return create(ResultSchema);
  throw new Refusal("result.forged", "a build can only return what its Dockerfile has made");
}
