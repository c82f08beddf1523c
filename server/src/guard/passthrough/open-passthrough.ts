import { setTimeout as sleep } from "node:timers/promises";
import { Failure } from "docker-over-ssh/builds";
import type { AuditLog } from "../audit/entry.ts";
import type { Backend } from "../backend.ts";
import { buildsOverHttp } from "../buildkit/build-over-http.ts";
import { createCacheRecords } from "../buildkit/cache-records.ts";
import { createBuildkit } from "../buildkit/create-buildkit.ts";
import { createClassicBuilds } from "../classic/classic-builds.ts";
import type { EngineApi } from "../engine/engine-api.ts";
import { createImages } from "../images/create-images.ts";
import { createOwnImages } from "../images/create-own-images.ts";
import { removeTenantImages } from "../images/remove-tenant-images.ts";
import type { Ledger } from "../ledger/ledger.ts";
import type { Limits } from "../limits/limits.ts";
import { guardCredentials } from "../push/guard-credentials.ts";
import { engineLogin } from "./engine-login.ts";
import { openPusher } from "../push/pusher.ts";
import type { Tenant } from "../tenant.ts";

/** Attempts to remove images that containers still use, and ms in between */
const REMOVAL_ATTEMPTS = 10;
const BETWEEN_ATTEMPTS = 500;

export interface PassthroughDependencies {
  engine: EngineApi;
  ledger: Ledger;
  limits: Limits;
  audit: AuditLog;
  env: NodeJS.ProcessEnv;
  /** The folder of the ledger: it distinguishes guards that share an engine */
  data: string;
  signal: AbortSignal;
}

/**
 * Opens a backend on an engine that the tenants share. Each tenant has its own names on it. Removes leftovers of a
 * killed guard from the engine. Disposing ends running builds.
 */
export async function openPassthrough(dependencies: PassthroughDependencies): Promise<Backend> {
  const { engine, ledger, limits, audit, env, data, signal } = dependencies;
  const cgroupParentOf = async ({ resources }: Tenant): Promise<string | undefined> => resources.cgroupParent;
  const push = openPusher({ engine, limits, env, owner: data });
  const own = createOwnImages({ engine, ledger, limits });
  const images = createImages({ engine, own, ledger, push });
  const cacheRecords = createCacheRecords({ engine, ledger, signal });
  const buildkit = createBuildkit({ engine, own, limits, audit, cacheRecords, cgroupParentOf });
  const hasContainerdStore = containerdStoreTest(engine);
  const classic = createClassicBuilds({
    engine,
    hasContainerdStore,
    own,
    limits,
    cgroupParent: cgroupParentOf,
    guardCredentials: async (tenant, host) => await guardCredentials(tenant, host, env),
  });
  const overHttp = buildsOverHttp(buildkit);
  await push.removeLeftovers(signal);
  return {
    images,
    buildkit,
    builds: {
      build: async (caller, request, context, onLine) =>
        request.builder === "buildkit"
          ? await overHttp.build(caller, request, onLine)
          : await classic.build(caller, request, context, onLine),
      async prune({ tenant, signal: callSignal }, choice) {
        const pruned = await cacheRecords.prune(tenant.id, choice, callSignal);
        return {
          caches: pruned.map(({ ID }) => ID),
          spaceReclaimed: pruned.reduce((sum, { size }) => sum + Number(size), 0),
        };
      },
      cancel: async ({ tenant }, buildId) => void overHttp.cancel(tenant.id, buildId),
    },
    login: engineLogin(engine),
    async version(callSignal) {
      return { ...(await engine.version(callSignal)), hasContainerdStore: await hasContainerdStore(callSignal) };
    },
    async removeTenant(tenant) {
      const left = await removeAllImages({ engine, ledger, signal }, tenant);
      await cacheRecords.prune(tenant, { all: true, filters: {} }, signal);
      if (left.length > 0) throw inUse(left.length);
    },
    async [Symbol.asyncDispose]() {
      await push[Symbol.asyncDispose]();
    },
  };
}

/**
 * Removes all images of a tenant. Returns the IDs of images that containers still use: an engine needs a moment to end
 * the step of an aborted build, whose image stays until then.
 */
async function removeAllImages(
  { engine, ledger, signal }: Pick<PassthroughDependencies, "engine" | "ledger" | "signal">,
  tenant: string,
): Promise<string[]> {
  for (let attempt = 1; ; attempt++) {
    const left = await removeTenantImages({ engine, ledger }, tenant, signal);
    if (left.length === 0 || attempt === REMOVAL_ATTEMPTS) return left;
    await sleep(BETWEEN_ATTEMPTS, undefined, { signal });
  }
}

/** The ledger keeps such a tenant, and the guard tries to remove its images at each start. */
function inUse(images: number): Failure {
  return new Failure("refused", `${images} of its images stay, because containers of the host use them`, {
    hint: "Remove the containers; the guard removes the images when it starts again.",
  });
}

/**
 * Returns a function that reports whether the engine has the containerd image store. It queries again after a restart
 * of the engine, which may have another version.
 */
function containerdStoreTest(engine: EngineApi): (signal: AbortSignal) => Promise<boolean> {
  const known = new WeakMap<object, boolean>();
  return async (signal) => {
    const version = await engine.version(signal);
    const before = known.get(version);
    if (before !== undefined) return before;
    const info = (await engine.json({ method: "GET", path: "/info", signal })) as
      | { DriverStatus?: unknown }
      | undefined;
    const found = JSON.stringify(info?.DriverStatus ?? []).includes('["driver-type","io.containerd.snapshotter.v1"]');
    known.set(version, found);
    return found;
  };
}
