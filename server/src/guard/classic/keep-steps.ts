import type { EngineApi } from "../engine/engine-api.ts";
import type { OwnImages } from "../images/own-images.ts";
import { TENANT_LABEL } from "../images/reserved.ts";
import { Refusal } from "../refusal.ts";
import type { Tenant } from "../tenant.ts";
import type { BuildOutput } from "./build-output.ts";
import { hasNames, listSteps, stepsUnder, type ListedImage } from "./steps.ts";

/**
 * Keeps the images that a build had created when one of its steps failed, so that the next build continues at that step, as with docker. The last image of
 * each stage becomes an image of the tenant without a name. Because it counts, it is kept only if the tenant's quotas leave room for the next build.
 *
 * @returns the IDs of all kept images
 */
export async function keepSteps(
  tenant: Tenant,
  { built, printed }: BuildOutput,
  bases: ReadonlySet<string>,
  engine: Pick<EngineApi, "json">,
  own: Pick<OwnImages, "list" | "take" | "takeIntermediate">,
  signal: AbortSignal,
): Promise<ReadonlySet<string>> {
  if (printed.size === 0) return new Set();
  const listed = await listSteps(engine, signal);
  const heads = new Set([...built, ...lastStep(tenant.id, printed, listed)]);
  const before = new Set((await own.list(tenant.id, signal)).map(({ id }) => id));
  // First, because an image without a name that has become a step no longer counts.
  const demoted = stepsUnder([...heads], bases, tenant.id, listed).filter((step) => before.has(step));
  await own.takeIntermediate(tenant, demoted);
  const keptHeads: string[] = [];
  for (const head of heads) if (before.has(head) || (await isTaken(tenant, head, own, signal))) keptHeads.push(head);
  const steps = stepsUnder(keptHeads, bases, tenant.id, listed);
  await own.takeIntermediate(tenant, steps);
  for (const image of demoted) if (!steps.includes(image)) await own.take(tenant, image, signal, []);
  return new Set([...keptHeads, ...steps]);
}

/** Records an image as the tenant's if the tenant can still build afterwards, which needs room for one more image and one more byte. */
async function isTaken(tenant: Tenant, id: string, own: Pick<OwnImages, "take">, signal: AbortSignal) {
  const { images, bytes } = tenant.quotas;
  const quotas = {
    ...tenant.quotas,
    ...(images !== undefined && { images: images - 1 }),
    ...(bytes !== undefined && { bytes: bytes - 1 }),
  };
  try {
    await own.take({ ...tenant, quotas }, id, signal, []);
    return true;
  } catch (error) {
    if (error instanceof Refusal) return false;
    throw error;
  }
}

/**
 * Returns the last step that the engine has printed. RUN may print other IDs, so the image must have the tenant's label. A step that is the parent of another
 * image is omitted, because it stays anyway.
 */
function lastStep(tenant: string, printed: ReadonlySet<string>, listed: readonly ListedImage[]): string[] {
  const last = [...printed].at(-1) ?? "";
  const image = listed.find(({ Id: id }) => id.startsWith(`sha256:${last}`));
  if (image === undefined || hasNames(image) || image.Labels?.[TENANT_LABEL] !== tenant) return [];
  return listed.some(({ ParentId }) => ParentId === image.Id) ? [] : [image.Id];
}
