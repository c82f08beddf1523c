import { setTimeout as delay } from "node:timers/promises";
import { EngineAnswer, type EngineApi } from "../engine/engine-api.ts";
import type { OwnImages } from "../images/own-images.ts";
import { TENANT_LABEL } from "../images/reserved.ts";
import type { Tenant } from "../tenant.ts";
import { hasNames, listSteps, type ListedImage } from "./steps.ts";

const ATTEMPTS = 10;
/** ms between two attempts to remove an image */
const BETWEEN_ATTEMPTS = 1000;

/**
 * Removes the images of the steps of a failed build: those whose IDs were printed and that have the tenant's label. RUN may print the ID of any image, so the
 * tenant's other images and the parents of other images stay. Images in use are recorded in the ledger, and removed with the image above them.
 */
export async function removeLeftovers(
  tenant: Tenant,
  printed: ReadonlySet<string>,
  keptSteps: ReadonlySet<string>,
  engine: Pick<EngineApi, "request" | "json">,
  own: Pick<OwnImages, "list" | "takeIntermediate">,
  signal: AbortSignal,
): Promise<void> {
  if (printed.size === 0) return;
  const [listed, ownImages] = await Promise.all([listSteps(engine, signal), own.list(tenant.id, signal)]);
  const keptIds = new Set([...keptSteps, ...ownImages.map(({ id }) => id)]);
  const order = new Map([...printed].toReversed().map((start, at) => [start, at]));
  const leftovers = listed
    .filter((image) => image.Labels?.[TENANT_LABEL] === tenant.id && !hasNames(image) && !keptIds.has(image.Id))
    .map(({ Id: id }) => ({ id, at: order.get(id.replace("sha256:", "").slice(0, 12)) ?? -1 }))
    .filter(({ at }) => at !== -1)
    .toSorted((one, other) => one.at - other.at);
  const removable = withoutParents(new Set(leftovers.map(({ id }) => id)), listed);
  let left = leftovers.map(({ id }) => id).filter((id) => removable.has(id));
  for (let attempt = 1; ; attempt++) {
    const inUse: string[] = [];
    let hasContainer = false;
    // Each image is on top of the next one. `noprune` keeps its parents, one of which may be a kept step.
    for (const id of left) {
      const conflict = await tryRemove(engine, id, signal);
      if (conflict !== undefined) inUse.push(id);
      hasContainer ||= conflict?.includes("container") === true;
    }
    left = inUse;
    // The engine needs some time to end the step of a client that has disconnected.
    if (!hasContainer || attempt === ATTEMPTS) break;
    await delay(BETWEEN_ATTEMPTS, undefined, { signal });
  }
  if (left.length > 0) await own.takeIntermediate(tenant, left);
}

/** Returns the images that are not the parent of another image, because the containerd image store would remove that image as well. */
function withoutParents(ids: ReadonlySet<string>, listed: readonly ListedImage[]): ReadonlySet<string> {
  const left = new Set(ids);
  for (let before = -1; before !== left.size;) {
    before = left.size;
    for (const { Id: id, ParentId } of listed) if (ParentId && !left.has(id)) left.delete(ParentId);
  }
  return left;
}

/** @returns the reason why the engine keeps the image, or undefined if it is removed */
async function tryRemove(
  engine: Pick<EngineApi, "request">,
  id: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    const query = [["noprune", "1"]] as const;
    const { body } = await engine.request({ method: "DELETE", path: `/images/${id}`, query, signal });
    body.resume();
    return undefined;
  } catch (error) {
    if (error instanceof EngineAnswer) return error.statusCode === 404 ? undefined : error.message;
    throw error;
  }
}
