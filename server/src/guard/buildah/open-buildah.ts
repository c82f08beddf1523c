import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { removeDeadSpools } from "docker-over-ssh/builds";
import type { Backend } from "../backend.ts";
import type { Ledger } from "../ledger/ledger.ts";
import type { Limits } from "../limits/limits.ts";
import { Refusal } from "../refusal.ts";
import type { GuardSettings } from "../settings.ts";
import { createBuilds } from "./builds.ts";
import { findHost } from "./find-host.ts";
import { Homes } from "./homes.ts";
import { ImageEvents } from "./image-events.ts";
import { createImages } from "./images.ts";
import type { BuildahDependencies } from "./dependencies.ts";
import { runInSandbox } from "./run-buildah.ts";
import { StoredImages } from "./stored-images.ts";

export interface BuildahOptions extends Pick<BuildahDependencies, "cgroupParentOf" | "env"> {
  limits: Limits;
  ledger: Ledger;
  /** Reports to the operator, once, which features do not work on this host */
  tell: (line: string) => void;
}

/** The API's version: that of Docker 20.10, with the classic builder. */
const API = "1.41";
const OLDEST_API = "1.24";
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", ia32: "386" };
/** Maximum ms for the removal of a tenant's files */
const REMOVAL_TIMEOUT = 120_000;

/**
 * Opens a backend without an engine: buildah, with a storage below `settings.data` and users of the host for each tenant. Disposing ends running builds, but
 * removes no images of tenants.
 *
 * @throws Failure `usage` if buildah is missing or too old, or does not work on this host
 */
export async function openBuildah(
  { data }: Pick<GuardSettings, "data">,
  { limits, ledger, env, cgroupParentOf, tell }: BuildahOptions,
): Promise<Backend> {
  const folder = join(data, "buildah");
  const { version, hasUsers, setup } = await findHost(folder, env, tell);
  // Contexts are unpacked next to the storages, not in a home folder, which may be small.
  const ownEnv = { ...env, XDG_CACHE_HOME: join(folder, ".cache") };
  await mkdir(ownEnv.XDG_CACHE_HOME, { recursive: true, mode: 0o700 });
  await removeDeadSpools(ownEnv);
  const homes = new Homes(folder, env, hasUsers);
  const images = new StoredImages(setup, env, ledger);
  const events = new ImageEvents();
  const dependencies = { setup, homes, images, events, limits, ledger, env: ownEnv, cgroupParentOf };
  return {
    images: createImages(dependencies),
    builds: createBuilds(dependencies),
    async version() {
      return {
        version: `${version} (buildah)`,
        apiVersion: API,
        minApiVersion: OLDEST_API,
        os: "linux",
        arch: ARCHITECTURES[process.arch] ?? process.arch,
        hasContainerdStore: false,
      };
    },
    async removeTenant(tenant) {
      await homes.remove(tenant, async (home) => {
        for (const build of home.builds)
          build.abort(new Refusal("tenant.gone", "this tenant is no longer served", { statusCode: 503 }));
        const signal = AbortSignal.timeout(REMOVAL_TIMEOUT);
        await runInSandbox(home, ["find", "/tenant/storage", "-mindepth", "1", "-delete"], env, { signal });
      });
      events.forget(tenant);
      images.forget(tenant);
    },
    async [Symbol.asyncDispose]() {
      await homes[Symbol.asyncDispose]();
    },
  };
}
