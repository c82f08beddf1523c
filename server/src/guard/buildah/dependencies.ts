import type { Caller } from "../caller.ts";
import type { Ledger } from "../ledger/ledger.ts";
import type { HeldImages, Limits } from "../limits/limits.ts";
import type { Tenant } from "../tenant.ts";
import { openCgroupFiles, type CgroupFiles } from "./cgroup-files.ts";
import type { Homes, OpenHome } from "./homes.ts";
import type { ImageEvents } from "./image-events.ts";
import { runBuildah, type RunOptions, type Setup } from "./run-buildah.ts";
import type { StoredImages } from "./stored-images.ts";

/** The dependencies that builds and images share. */
export interface BuildahDependencies {
  readonly setup: Setup;
  readonly homes: Homes;
  readonly images: StoredImages;
  readonly events: ImageEvents;
  readonly limits: Limits;
  readonly ledger: Ledger;
  readonly env: NodeJS.ProcessEnv;
  readonly cgroupParentOf: (tenant: Tenant) => Promise<string | undefined> | string | undefined;
}

/** Returns the home of a tenant. Records the tenant first, so that its files are found after it is removed. */
export async function homeOf({ homes, ledger }: BuildahDependencies, { tenant }: Caller): Promise<OpenHome> {
  if (!ledger.tenants().includes(tenant.id)) await ledger.change(tenant.id, () => {});
  return await homes.of(tenant.id);
}

export async function run(
  { setup, env }: BuildahDependencies,
  home: OpenHome,
  argv: readonly string[],
  options: RunOptions,
): Promise<string> {
  return await runBuildah(home, setup, argv, env, options);
}

/** The names that an image will get. */
export interface Naming {
  id: string;
  /** Full names */
  names: readonly string[];
}

/**
 * Counts the images of a tenant. Called whenever they change, so that no build starts beyond the quotas. An image counts once for each of its names. Fetched
 * bases count only as bytes.
 *
 * @param naming counted as if it were done: its names move from the images that have them
 */
export async function countImages(
  { images, limits }: BuildahDependencies,
  { tenant, signal }: Caller,
  home: OpenHome,
  naming?: Naming,
): Promise<HeldImages> {
  const all = await images.all(home, signal);
  const bytes = all.reduce((sum, { size }) => sum + size, 0);
  const counted = new Map(all.filter(({ isOwn }) => isOwn).map(({ id, names }) => [id, new Set(names)]));
  if (naming !== undefined) {
    for (const names of counted.values()) for (const name of naming.names) names.delete(name);
    // buildah does not list an image without a name if another image was built from it.
    counted.set(naming.id, new Set([...(counted.get(naming.id) ?? []), ...naming.names]));
  }
  const held = { images: [...counted.values()].reduce((sum, { size }) => sum + Math.max(1, size), 0), bytes };
  limits.reportImages(tenant.id, held);
  return held;
}

/** Prepares the tenant's cgroup for programs that run for a long time. */
export async function cgroupOf(
  { cgroupParentOf }: BuildahDependencies,
  { tenant }: Caller,
  call: { name: string },
): Promise<CgroupFiles> {
  const parent = await cgroupParentOf(tenant);
  if (parent === undefined) return { files: [], ranOutOfMemory: () => false, async [Symbol.asyncDispose]() {} };
  return await openCgroupFiles(parent, call.name);
}
