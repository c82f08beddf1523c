import type { ApiObject } from "../backend.ts";
import type { Caller } from "../caller.ts";
import { EngineAnswer } from "../engine/engine-api.ts";
import type { Ledger } from "../ledger/ledger.ts";
import { noSuchImage, Refusal } from "../refusal.ts";
import { forgetImages, imagesInLedger } from "../ledger/ledger-images.ts";
import { inspectImage, namesOf, removeFromEngine, type EngineNames, type ImagesEngine } from "./engine-images.ts";
import { objectOf, textOf, type Json } from "./json.ts";
import { tenantName } from "./names.ts";
import type { ViewDependencies } from "./view-images.ts";

/**
 * Serves `DELETE /images/NAME`. A name removes this name, and with the last name the image. An ID removes all names of the tenant. An image stays if the host or
 * another tenant has a name for it or a container of it, because the guard never requests a forced removal.
 */
export async function removeImage(
  dependencies: ViewDependencies,
  caller: Caller,
  given: string,
  options: { force: boolean; noPrune: boolean },
): Promise<ApiObject[]> {
  const { engine, own, ledger } = dependencies;
  const { tenant, signal } = caller;
  const { id, foundAs } = await own.find(tenant.id, given, signal);
  const raw = await inspectImage(engine, id, { signal });
  if (raw === undefined) throw noSuchImage(given);
  const names = namesOf(tenant.id, raw);
  const steps = options.noPrune ? [] : await stepsOf(dependencies, tenant.id, raw, signal);
  const removed =
    foundAs === undefined
      ? await removeById(engine, id, names, options.force, signal)
      : await removeFromEngine(engine, foundAs, signal);
  const isGone = (found: string): boolean => removed.some((entry) => entry["Deleted"] === found);
  if (isGone(id)) {
    removed.push(...(await removeSteps(engine, steps, signal)));
    await forgetImages(ledger, tenant.id, removed.map(({ Deleted }) => textOf(Deleted)).filter(Boolean));
  } else if (names.hasForeign && removed.length > 0 && !(await hasNames(engine, tenant.id, id, signal))) {
    await forgetImages(ledger, tenant.id, [id]);
  }
  const { images, bytes } = tenant.quotas;
  if (images !== undefined || bytes !== undefined) await own.list(tenant.id, signal); // reports to the limits
  return removed.map((entry) => shownRemoval(tenant.id, entry)).filter((entry) => entry !== undefined);
}

async function removeById(
  engine: ImagesEngine,
  id: string,
  { tags, digests, hasForeign }: EngineNames,
  isForced: boolean,
  signal: AbortSignal,
): Promise<Json[]> {
  if (tags.length > 1 && !isForced) {
    const short = id.slice("sha256:".length, "sha256:".length + 12);
    const why = "image is referenced in multiple repositories";
    throw new Refusal("image.conflict", `conflict: unable to delete ${short} (must be forced) - ${why}`, {
      statusCode: 409,
    });
  }
  const removed: Json[] = [];
  // The engine removes digests with the last tag of their repository.
  for (const name of tags.length > 0 ? tags : digests) removed.push(...(await removeFromEngine(engine, name, signal)));
  if (hasForeign || removed.some((entry) => entry["Deleted"] === id)) return removed;
  if (tags.length + digests.length > 0 && (await inspectImage(engine, id, { signal })) === undefined) return removed;
  return [...removed, ...(await removeFromEngine(engine, id, signal))];
}

async function hasNames(engine: ImagesEngine, tenant: string, id: string, signal: AbortSignal): Promise<boolean> {
  const raw = await inspectImage(engine, id, { signal });
  if (raw === undefined) return false;
  const { tags, digests } = namesOf(tenant, raw);
  return tags.length + digests.length > 0;
}

/** Returns the intermediate images under an image that are in the ledger, the last step first. */
async function stepsOf(
  { engine, ledger }: { engine: ImagesEngine; ledger: Ledger },
  tenant: string,
  raw: Json,
  signal: AbortSignal,
): Promise<string[]> {
  const known = imagesInLedger(ledger, tenant);
  const steps: string[] = [];
  for (let parent = textOf(raw["Parent"]); known.get(parent)?.isIntermediate === true;) {
    if (steps.includes(parent)) break;
    steps.push(parent);
    parent = textOf(objectOf(await inspectImage(engine, parent, { signal }))["Parent"]);
  }
  return steps;
}

/** Removes steps, up to the first that another image of the tenant uses. */
async function removeSteps(engine: ImagesEngine, steps: readonly string[], signal: AbortSignal): Promise<Json[]> {
  const removed: Json[] = [];
  for (const id of steps) {
    try {
      removed.push(...(await removeFromEngine(engine, id, signal)));
    } catch (error) {
      if (!(error instanceof EngineAnswer)) throw error;
      if (error.statusCode !== 404) break;
    }
  }
  return removed;
}

/** Returns an entry with the tenant's name, or undefined for a name of others. */
function shownRemoval(tenant: string, entry: Json): ApiObject | undefined {
  const { Untagged, Deleted } = entry;
  if (typeof Deleted === "string") return { Deleted };
  const name = tenantName(tenant, textOf(Untagged));
  return name === undefined ? undefined : { Untagged: name };
}
