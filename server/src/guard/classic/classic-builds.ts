import type { Readable } from "node:stream";
import { jsonLines } from "docker-over-ssh/builds";
import type { ApiObject } from "../backend.ts";
import type { BuildRequest, Credentials } from "../build-request.ts";
import type { Caller } from "../caller.ts";
import { EngineAnswer, type EngineApi } from "../engine/engine-api.ts";
import { withTenantNames } from "../images/names.ts";
import type { OwnImages } from "../images/own-images.ts";
import type { Limits } from "../limits/limits.ts";
import { Refusal } from "../refusal.ts";
import type { Tenant } from "../tenant.ts";
import { baseResolver } from "./bases.ts";
import { buildOutput, type BuildOutput } from "./build-output.ts";
import { rewriteContext } from "./context/rewrite-context.ts";
import { decodeDockerfile } from "./dockerfile/logical-lines.ts";
import { rewriteDockerfile } from "./dockerfile/rewrite-dockerfile.ts";
import { engineQuery, imageLabels } from "./engine-query.ts";
import { giveNames, namesToGive } from "./give-names.ts";
import { keepSteps } from "./keep-steps.ts";
import { removeLeftovers } from "./leftovers.ts";
import { buildLines } from "./build-lines.ts";
import { requestCredentials } from "./registry-credentials.ts";
import { listSteps, stepsUnder } from "./steps.ts";

export interface ClassicDependencies {
  engine: Pick<EngineApi, "request" | "json" | "version">;
  hasContainerdStore: (signal: AbortSignal) => Promise<boolean>;
  own: OwnImages;
  limits: Pick<Limits, "startBuild">;
  /** Returns the existing cgroup in which the tenant's steps run, or undefined for the engine's default */
  cgroupParent: (tenant: Tenant) => Promise<string | undefined>;
  /** Returns the guard's credentials for a registry, which take precedence over the request's */
  guardCredentials: (tenant: Tenant, host: string) => Promise<Credentials | undefined>;
}

export interface ClassicBuilds {
  /** Implements `BackendBuilds.build`. Owns `context`. */
  build(
    caller: Caller,
    request: BuildRequest,
    context: Readable | undefined,
    onLine: (line: ApiObject) => void,
  ): Promise<void>;
}

/** Maximum images that the engine searches for cached steps. Their IDs are in the query, whose size is limited. */
const MAX_CACHE_SOURCES = 50;
/** Maximum ms of the clean-up after a build */
const CLEANUP_TIMEOUT = 60_000;

/** Returns the builds of tenants that share the classic builder of an engine. */
export function createClassicBuilds(dependencies: ClassicDependencies): ClassicBuilds {
  return {
    async build(caller, request, context, onLine) {
      if (request.remote !== undefined || context === undefined) throw noRemote();
      await using slot = await dependencies.limits.startBuild(caller.tenant);
      const signal = AbortSignal.any([caller.signal, slot.signal]);
      const lines = buildLines(request.quiet, onLine);
      try {
        const id = await run(dependencies, { ...caller, signal }, request, context, (line) => lines.take(line));
        await giveNames(dependencies.engine, caller.tenant, id, request.names, lines, signal);
      } catch (error) {
        lines.onFailure();
        if (error instanceof BuildFailed) {
          caller.note.rule = "build.failed";
          const { message, code } = error;
          return onLine({ errorDetail: { ...(code !== undefined && { code }), message }, error: message });
        }
        // Throws the signal's reason, because the engine's error only states that the request was aborted.
        signal.throwIfAborted();
        throw asBuildFailure(caller.tenant.id, error);
      } finally {
        context.destroy();
      }
    },
  };
}

/** @returns the ID of the image, which is recorded as the tenant's */
async function run(
  dependencies: ClassicDependencies,
  caller: Caller,
  request: BuildRequest,
  source: Readable,
  onLine: (line: ApiObject) => void,
): Promise<string> {
  const { engine, hasContainerdStore, own } = dependencies;
  const { tenant, signal } = caller;
  const credentials = async (host: string): Promise<Credentials | undefined> =>
    (await dependencies.guardCredentials(tenant, host)) ?? requestCredentials(request, host);
  const find = baseResolver(caller, request, { engine, hasContainerdStore, own, credentials, onLine, signal });
  const bases = new Set<string>();
  const resolve: typeof find = async (...given) => {
    const base = await find(...given);
    bases.add(base.id);
    return base;
  };
  let steps: readonly (string | undefined)[] = [];
  const labels = imageLabels(tenant, request).map(([key, value]) =>
    Object.hasOwn(request.labels, key) ? `LABEL ${key}=${value}` : undefined,
  );
  const { dockerfile, tar } = rewriteContext(source, {
    dockerfile: request.dockerfile,
    limit: tenant.quotas.context,
    signal,
    async rewrite(given) {
      const { target, buildArgs } = request;
      const options = { target, buildArgs, policy: tenant.policy, tenant: tenant.id, resolve };
      const written = await rewriteDockerfile(decodeDockerfile(given), options);
      steps = [...written.steps, ...labels];
      return written.text;
    },
  });
  const output = buildOutput(tenant.id, () => steps, onLine);
  try {
    const cgroupParent = await dependencies.cgroupParent(tenant);
    const cacheFrom = await cacheSources(own, tenant, request, signal);
    const query = engineQuery(tenant, request, { dockerfile, cgroupParent, cacheFrom });
    const headers = { "content-type": "application/x-tar" };
    const { body } = await engine.request({ method: "POST", path: "/build", query, headers, body: tar, signal });
    for await (const line of jsonLines(body)) output.take(line);
    return await takeOver(dependencies, tenant, request, output, bases, signal);
  } catch (error) {
    await cleanUp(dependencies, tenant, output, error instanceof BuildFailed ? bases : undefined);
    throw error;
  } finally {
    tar.destroy();
  }
}

async function takeOver(
  { engine, own }: ClassicDependencies,
  tenant: Tenant,
  request: BuildRequest,
  output: BuildOutput,
  bases: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<string> {
  if (output.failure !== undefined) throw new BuildFailed(output.failure);
  const id = output.built.at(-1);
  if (id === undefined)
    throw new Refusal("build.failed", "the engine ended the build without an image", { statusCode: 502 });
  // Earlier stages also belong to the tenant: the engine stores them, and they are the tenant's cache.
  const stages = [...new Set(output.built)];
  // First, because an image without a name that has become a step no longer counts.
  await own.takeIntermediate(tenant, stepsUnder(stages, bases, tenant.id, await listSteps(engine, signal)));
  for (const stage of stages) if (stage !== id) await own.take(tenant, stage, signal, []);
  const names = namesToGive(tenant.id, request.names).map(({ reference }) => reference);
  await own.take(tenant, id, signal, names);
  return id;
}

/**
 * Returns the tenant's images in which the engine looks for cached steps: those of --cache-from, then the newest. If the list is short, an engine restores
 * steps from the history of one of its images. In containerd's store, that fails for steps without files, and the engine ignores the other images.
 */
async function cacheSources(own: OwnImages, tenant: Tenant, { cacheFrom, noCache }: BuildRequest, signal: AbortSignal) {
  if (noCache) return [];
  const found = new Set<string>();
  for (const name of cacheFrom.slice(0, MAX_CACHE_SOURCES)) {
    try {
      found.add((await own.find(tenant.id, name, signal)).id);
    } catch (error) {
      // Like the engine, ignores an image that does not exist.
      if (!(error instanceof Refusal)) throw error;
    }
  }
  const images = await own.list(tenant.id, signal);
  for (const { id } of images.toSorted((one, other) => other.created - one.created)) found.add(id);
  return [...found].slice(0, MAX_CACHE_SOURCES);
}

/**
 * Cleans up after a build that has failed or was aborted, so it does not use the build's signal.
 *
 * @param bases the bases of a build whose steps are to be kept, or undefined to remove all steps
 */
async function cleanUp(
  { engine, own }: ClassicDependencies,
  tenant: Tenant,
  output: BuildOutput,
  bases: ReadonlySet<string> | undefined,
): Promise<void> {
  const signal = AbortSignal.timeout(CLEANUP_TIMEOUT);
  let keptSteps: ReadonlySet<string> = new Set();
  try {
    if (bases !== undefined) keptSteps = await keepSteps(tenant, output, bases, engine, own, signal);
  } catch {
    // The steps are removed below.
  }
  try {
    await removeLeftovers(tenant, output.printed, keptSteps, engine, own, signal);
  } catch {
    // The build's own error is reported. The images that are left have the tenant's label, and are removed with the tenant.
  }
}

function asBuildFailure(tenant: string, error: unknown): unknown {
  if (!(error instanceof EngineAnswer)) return error;
  return new Refusal("build.failed", withTenantNames(tenant, error.message), {
    statusCode: error.statusCode,
    cause: error,
  });
}

/** A build that fails in the engine. The error becomes a line of its output. */
class BuildFailed extends Error {
  /** The exit status of RUN's command */
  readonly code: number | undefined;

  constructor({ message, code }: { message: string; code: number | undefined }) {
    super(message);
    this.code = code;
  }
}

function noRemote(): Refusal {
  return new Refusal(
    "build.remote",
    "the classic builder fetches such a context itself, so its Dockerfile cannot be checked: use BuildKit, or download it and send it",
  );
}
