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

/** How often images are tried to be removed that containers use, and ms in between */
const REMOVAL_ATTEMPTS = 10;
const BETWEEN_ATTEMPTS = 500;

export interface PassthroughParts {
  engine: EngineApi;
  ledger: Ledger;
  limits: Limits;
  audit: AuditLog;
  env: NodeJS.ProcessEnv;
  /** The folder of the ledger: tells guards apart that share an engine */
  data: string;
  signal: AbortSignal;
}

/**
 * Opens a backend on an engine that the tenants share, each with names of its own on it. Removes what a guard has left there that was killed. Disposing
 * ends what runs.
 */
export async function openPassthrough(parts: PassthroughParts): Promise<Backend> {
  const { engine, ledger, limits, audit, env, data, signal } = parts;
  const cgroupParentOf = async ({ resources }: Tenant): Promise<string | undefined> => resources.cgroupParent;
  const push = openPusher({ engine, limits, env, owner: data });
  const own = createOwnImages({ engine, ledger, limits });
  const images = createImages({ engine, own, ledger, push });
  const cacheRecords = createCacheRecords({ engine, ledger, signal });
  const buildkit = createBuildkit({ engine, own, limits, audit, cacheRecords, cgroupParentOf });
  const hasContainerdStore = storeOf(engine);
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
      async prune({ tenant, signal: asked }, choice) {
        const pruned = await cacheRecords.prune(tenant.id, choice, asked);
        return {
          caches: pruned.map(({ ID }) => ID),
          spaceReclaimed: pruned.reduce((sum, { size }) => sum + Number(size), 0),
        };
      },
      cancel: async ({ tenant }, buildId) => void overHttp.cancel(tenant.id, buildId),
    },
    login: engineLogin(engine),
    async version(asked) {
      return { ...(await engine.version(asked)), hasContainerdStore: await hasContainerdStore(asked) };
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

/** Returns IDs of images that containers still use. An engine ends the step of a build that was broken off in a moment: until then, its image stays. */
async function removeAllImages(
  { engine, ledger, signal }: Pick<PassthroughParts, "engine" | "ledger" | "signal">,
  tenant: string,
): Promise<string[]> {
  for (let attempt = 1; ; attempt++) {
    const left = await removeTenantImages({ engine, ledger }, tenant, signal);
    if (left.length === 0 || attempt === REMOVAL_ATTEMPTS) return left;
    await sleep(BETWEEN_ATTEMPTS, undefined, { signal });
  }
}

/** The ledger keeps such a tenant, whose images the next start of the guard removes, or the one after it. */
function inUse(images: number): Failure {
  return new Failure("refused", `${images} of its images are used by containers of the host, and stay`, {
    hint: "Remove the containers; the guard removes the images when it starts again.",
  });
}

/** Returns what tells whether the engine has the containerd image store. It asks once for each engine that is there: one may come back as another. */
function storeOf(engine: EngineApi): (signal: AbortSignal) => Promise<boolean> {
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
