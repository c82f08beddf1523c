import { EngineAnswer } from "../engine/engine-api.ts";
import type { Ledger } from "../ledger/ledger.ts";
import { forgetImages, imagesInLedger } from "../ledger/ledger-images.ts";
import { objectOf, type Json } from "./json.ts";
import { TENANT_LABEL } from "./reserved.ts";
import { idOf, listImages, namesOf, removeFromEngine, type ImagesEngine } from "./engine-images.ts";

/**
 * Removes all images of a tenant, including those in the ledger. Removes only the tenant's names from images that others use. May be called again, after a crash
 * or if an image was in use.
 *
 * @returns the IDs of images that containers use, which stay in the ledger
 */
export async function removeTenantImages(
  { engine, ledger }: { engine: ImagesEngine; ledger: Ledger },
  tenant: string,
  signal: AbortSignal,
): Promise<string[]> {
  for (const raw of await listImages(engine, { all: true, signal })) {
    const { tags, digests } = namesOf(tenant, raw);
    for (const name of tags.length > 0 ? tags : digests) await tryRemove(engine, name, signal);
  }
  const known = imagesInLedger(ledger, tenant);
  const isTenants = (raw: Json): boolean => known.has(idOf(raw)) || isLeftover(tenant, raw);
  // An image can be removed after the images above it, so this repeats as long as it removes any.
  for (let before = Infinity; ;) {
    const found = await listImages(engine, { all: true, signal });
    const left = found.filter((raw) => isTenants(raw) && !namesOf(tenant, raw).hasForeign);
    if (left.length === 0 || left.length >= before) {
      const ids = left.map(idOf);
      await forgetImages(
        ledger,
        tenant,
        [...known.keys()].filter((id) => !ids.includes(id)),
      );
      return ids;
    }
    before = left.length;
    for (const raw of left) await tryRemove(engine, idOf(raw), signal);
  }
}

/** Returns whether an image is a step of a build whose guard was killed: it has the tenant's label and no name, and is not in the ledger. */
function isLeftover(tenant: string, raw: Json): boolean {
  const { tags, digests } = namesOf(tenant, raw);
  return objectOf(raw["Labels"])[TENANT_LABEL] === tenant && tags.length === 0 && digests.length === 0;
}

/** Removes an image if it exists and is not in use. */
async function tryRemove(engine: ImagesEngine, name: string, signal: AbortSignal): Promise<void> {
  try {
    await removeFromEngine(engine, name, signal);
  } catch (error) {
    if (!(error instanceof EngineAnswer) || (error.statusCode !== 404 && error.statusCode !== 409)) throw error;
  }
}
