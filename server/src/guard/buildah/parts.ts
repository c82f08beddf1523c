import type { Caller } from "../caller.ts";
import type { Ledger } from "../ledger/ledger.ts";
import type { HeldImages, Limits } from "../limits/limits.ts";
import type { Tenant } from "../tenant.ts";
import { openCgroupFiles, type CgroupFiles } from "./cgroup-files.ts";
import type { Homes, OpenHome } from "./homes.ts";
import type { ImageEvents } from "./image-events.ts";
import { runBuildah, type RunOptions, type Setup } from "./run-buildah.ts";
import type { StoredImages } from "./stored-images.ts";

/** What builds and images share. */
export interface BuildahParts {
  readonly setup: Setup;
  readonly homes: Homes;
  readonly images: StoredImages;
  readonly events: ImageEvents;
  readonly limits: Limits;
  readonly ledger: Ledger;
  readonly env: NodeJS.ProcessEnv;
  readonly cgroupParentOf: (tenant: Tenant) => Promise<string | undefined> | string | undefined;
}

/** The home of a tenant. It is written down first, so that what is in it is found when the tenant is gone. */
export async function homeOf({ homes, ledger }: BuildahParts, { tenant }: Caller): Promise<OpenHome> {
  if (!ledger.tenants().includes(tenant.id)) await ledger.change(tenant.id, () => {});
  return await homes.of(tenant.id);
}

export async function run(
  { setup, env }: BuildahParts,
  home: OpenHome,
  argv: readonly string[],
  options: RunOptions,
): Promise<string> {
  return await runBuildah(home, setup, argv, env, options);
}

/**
 * Counts what a tenant has, whenever that changes: a build does not start when it is too much. An image counts once for each of its names. Bases that
 * were fetched take bytes, too.
 */
export async function countImages(
  { images, limits }: BuildahParts,
  { tenant, signal }: Caller,
  home: OpenHome,
): Promise<HeldImages> {
  const all = await images.all(home, signal);
  const bytes = all.reduce((sum, { size }) => sum + size, 0);
  const own = all.filter(({ isOwn }) => isOwn);
  const held = { images: own.reduce((sum, { names }) => sum + Math.max(1, names.length), 0), bytes };
  limits.tellImages(tenant.id, held);
  return held;
}

/** Opens a place in the tenant's cgroup for programs that work for long. */
export async function cgroupOf(
  { cgroupParentOf }: BuildahParts,
  { tenant }: Caller,
  call: { name: string },
): Promise<CgroupFiles> {
  const parent = await cgroupParentOf(tenant);
  if (parent === undefined) return { files: [], ranOutOfMemory: () => false, async [Symbol.asyncDispose]() {} };
  return await openCgroupFiles(parent, call.name);
}
