import type { BackendImages } from "../backend.ts";
import type { Caller } from "../caller.ts";
import type { Ledger } from "../ledger/ledger.ts";
import { tooManyImages } from "../limits/refusals.ts";
import { noSuchImage, Refusal } from "../refusal.ts";
import { imagesInLedger, recordImages } from "../ledger/ledger-images.ts";
import { asRefusals, asRefusal, type ImagesEngine } from "./engine-images.ts";
import { imageEvents } from "./image-events.ts";
import { engineName, nameAsListed, parseTenantName } from "./names.ts";
import type { OwnImages } from "./own-images.ts";
import type { ImagePusher } from "./image-pusher.ts";
import { removeImage } from "./remove-image.ts";
import { saveImages } from "./save-images.ts";
import { viewHistory, viewList, viewOne } from "./view-images.ts";

export interface ImagesDependencies {
  engine: ImagesEngine;
  own: OwnImages;
  ledger: Ledger;
  push: ImagePusher;
}

/** Serves the images of an engine that several tenants share. Names on the engine and the ledger decide to whom an image belongs. */
export function createImages(dependencies: ImagesDependencies): BackendImages {
  return {
    list: async (caller, filter) =>
      await asRefusals(caller.tenant.id, async () => await viewList(dependencies, caller, filter)),
    inspect: async (caller, name, options) =>
      await asRefusals(caller.tenant.id, async () => await viewOne(dependencies, caller, name, options)),
    history: async (caller, name, options) =>
      await asRefusals(caller.tenant.id, async () => await viewHistory(dependencies, caller, name, options)),
    tag: async (caller, name, target) =>
      await asRefusals(caller.tenant.id, async () => await tag(dependencies, caller, name, target)),
    remove: async (caller, name, options) =>
      await asRefusals(caller.tenant.id, async () => await removeImage(dependencies, caller, name, options)),
    save: async (caller, names, options) =>
      await asRefusals(caller.tenant.id, async () => await saveImages(dependencies, caller, names, options)),
    push: async (caller, reference, options) =>
      await asRefusals(caller.tenant.id, async () => await push(dependencies, caller, reference, options)),
    events: (caller, filter) => eventsOrRefusal(dependencies, caller, filter),
  };
}

async function* eventsOrRefusal(
  dependencies: ImagesDependencies,
  caller: Caller,
  filter: Parameters<BackendImages["events"]>[1],
): ReturnType<typeof imageEvents> {
  try {
    yield* imageEvents(dependencies, caller, filter);
  } catch (error) {
    throw asRefusal(caller.tenant.id, error);
  }
}

/** Serves `POST /images/NAME/tag`. The image that had the name before still belongs to the tenant. */
async function tag(
  dependencies: ImagesDependencies,
  { tenant, signal }: Caller,
  name: string,
  target: string,
): Promise<void> {
  const { engine, own, ledger } = dependencies;
  const { id, names } = await own.find(tenant.id, name, signal);
  const reference = parseTenantName(target);
  const { tag: newTag = "latest", digest } = reference;
  if (digest !== undefined)
    throw new Refusal("name.digest", "refusing to create a tag with a digest reference", { statusCode: 400 });
  const newName = engineName(tenant.id, reference);
  if (names.includes(newName)) return;
  await refuseOneMore(own, tenant, signal);
  const before = await own.find(tenant.id, target, signal).catch((error: unknown) => {
    if (error instanceof Refusal && error.statusCode === 404) return undefined;
    throw error;
  });
  const known = imagesInLedger(ledger, tenant.id);
  const missing = [id, ...(before === undefined ? [] : [before.id])].filter(
    (found) => !known.has(found) || known.get(found)?.isIntermediate === true,
  );
  if (missing.length > 0)
    await recordImages(
      ledger,
      tenant.id,
      missing.map((found) => ({ id: found, created: Date.now() })),
    );
  const query: [string, string][] = [
    ["repo", newName.slice(0, newName.lastIndexOf(":"))],
    ["tag", newTag],
  ];
  const { body } = await engine.request({ method: "POST", path: `/images/${id}/tag`, query, signal });
  body.resume();
}

/** Refuses another name beyond the quota. A name counts as an image, because a tenant could give its image any number of them. */
async function refuseOneMore(own: OwnImages, { id, quotas }: Caller["tenant"], signal: AbortSignal): Promise<void> {
  if (quotas.images === undefined) return;
  const images = await own.list(id, signal);
  const count = images.reduce((sum, { names }) => sum + Math.max(1, names.length), 0);
  if (count >= quotas.images) throw tooManyImages(count + 1, quotas.images);
}

async function push(
  { own, push: pusher }: ImagesDependencies,
  caller: Caller,
  given: string,
  options: Parameters<BackendImages["push"]>[2],
): Promise<void> {
  const reference = parseTenantName(given);
  const image = await own.find(caller.tenant.id, given, caller.signal);
  if (image.foundAs === undefined) throw noSuchImage(nameAsListed(reference));
  await pusher.push(caller, image, reference, options);
}
