import type { EngineApi } from "../engine/engine-api.ts";
import type { OwnImages } from "../images/own-images.ts";
import { TENANT_LABEL } from "../images/reserved.ts";
import type { Tenant } from "../tenant.ts";
import type { BuildOutput } from "./build-output.ts";
import { hasNames, listSteps, stepsUnder, type ListedImage } from "./steps.ts";

/**
 * Takes over what a build has made before a step of it failed: as with docker, the next build continues there. The last image of each stage is the
 * tenant's, without a name, and counts.
 *
 * @returns the IDs of all images that it keeps
 * @throws Refusal as `OwnImages.take`
 */
export async function keepSteps(
  tenant: Tenant,
  { built, printed }: BuildOutput,
  bases: ReadonlySet<string>,
  engine: Pick<EngineApi, "json">,
  own: Pick<OwnImages, "take" | "takeIntermediate">,
  signal: AbortSignal,
): Promise<ReadonlySet<string>> {
  if (printed.size === 0) return new Set();
  const listed = await listSteps(engine, signal);
  const heads = new Set([...built, ...lastStep(tenant.id, printed, listed)]);
  const steps = stepsUnder([...heads], bases, tenant.id, listed);
  for (const head of heads) await own.take(tenant, head, signal);
  await own.takeIntermediate(tenant, steps);
  return new Set([...heads, ...steps]);
}

/** The last step that was printed. RUN may print others, so it must be the tenant's; one on which another image is made is there for the cache as it is. */
function lastStep(tenant: string, printed: ReadonlySet<string>, listed: readonly ListedImage[]): string[] {
  const last = [...printed].at(-1) ?? "";
  const image = listed.find(({ Id: id }) => id.startsWith(`sha256:${last}`));
  if (image === undefined || hasNames(image) || image.Labels?.[TENANT_LABEL] !== tenant) return [];
  return listed.some(({ ParentId }) => ParentId === image.Id) ? [] : [image.Id];
}
