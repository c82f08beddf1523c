import type { Reference } from "docker-over-ssh/builds";
import type { Ledger } from "../ledger/ledger.ts";
import { forgetImages, imagesInLedger, recordImages } from "../ledger/ledger-images.ts";
import type { Limits } from "../limits/limits.ts";
import { noSuchImage, Refusal } from "../refusal.ts";
import type { Tenant } from "../tenant.ts";
import {
  idOf,
  inspectImage,
  asRefusals,
  listImages,
  namesOf,
  removeFromEngine,
  type ImagesEngine,
} from "./engine-images.ts";
import { idPrefix } from "./id-prefix.ts";
import { refuseLabels } from "./labels.ts";
import { numberOf, objectOf, textOf, type Json } from "./json.ts";
import { engineName, nameAsListed, parseTenantName } from "./names.ts";
import type { FoundImage, OwnImage, OwnImages } from "./own-images.ts";
import { TENANT_LABEL } from "./reserved.ts";

/** Maximum ms of the removal of an image that the tenant may not have */
const CLEANUP_TIMEOUT = 60_000;

export interface OwnImagesDependencies {
  engine: ImagesEngine;
  ledger: Ledger;
  limits: Limits;
}

export function createOwnImages(dependencies: OwnImagesDependencies): OwnImages {
  return {
    list: async (tenant, signal) => (await list(dependencies, tenant, signal)).images,
    find: async (tenant, given, signal) =>
      await asRefusals(tenant, async () => await find(dependencies, tenant, given, signal)),
    take: async (tenant, id, signal, names) =>
      await asRefusals(tenant.id, async () => await take(dependencies, tenant, id, signal, names)),
    takeIntermediate: async (tenant, ids) => await takeIntermediate(dependencies.ledger, tenant.id, ids),
  };
}

/** @returns the images that count, and the engine's entries of all images of the tenant, including those of steps */
async function list(
  { engine, ledger, limits }: OwnImagesDependencies,
  tenant: string,
  signal: AbortSignal,
): Promise<{ images: OwnImage[]; listed: readonly Json[] }> {
  const known = imagesInLedger(ledger, tenant);
  const listed = (await listImages(engine, { all: true, signal })).filter(
    (raw) => known.has(idOf(raw)) || namesOf(tenant, raw).tags.length > 0,
  );
  const images = listed
    .map((raw) => asOwn(tenant, raw))
    .filter(({ id, names }) => names.length > 0 || known.get(id)?.isIntermediate !== true);
  limits.reportImages(tenant, heldOf(images));
  return { images, listed };
}

/** Counts an image once for each of its names, like the rows of `docker images`, and its bytes once. */
function heldOf(images: readonly OwnImage[]): { images: number; bytes: number } {
  return {
    images: images.reduce((sum, { names }) => sum + Math.max(1, names.length), 0),
    bytes: images.reduce((sum, { size }) => sum + size, 0),
  };
}

/** Returns `images` with the names that they have after one of them gets new names, which the others lose. */
function withNames(images: readonly OwnImage[], given: string, added: readonly string[]): OwnImage[] {
  const moved = new Set(added);
  return images.map((image) => {
    const left = image.names.filter((name) => !moved.has(name));
    return { ...image, names: image.id === given ? [...left, ...moved] : left };
  });
}

async function find(
  dependencies: OwnImagesDependencies,
  tenant: string,
  given: string,
  signal: AbortSignal,
): Promise<FoundImage> {
  const prefix = idPrefix(given);
  if (prefix?.isCertain === true) return await findById(dependencies, tenant, given, prefix.hex, signal);
  const reference = parseTenantName(given);
  const named = await findByName(dependencies, tenant, reference, signal);
  if (named !== undefined) return { ...named, foundAs: engineName(tenant, reference) };
  if (prefix === undefined) throw noSuchImage(nameAsListed(reference));
  return await findById(dependencies, tenant, given, prefix.hex, signal);
}

async function findByName(
  { engine, ledger }: OwnImagesDependencies,
  tenant: string,
  reference: Reference,
  signal: AbortSignal,
): Promise<OwnImage | undefined> {
  const raw = await inspectImage(engine, engineName(tenant, reference), { signal });
  if (raw === undefined) return undefined;
  // Some engines look up a name with a digest only by the digest, and would return anybody's image.
  const { tags, digests } = namesOf(tenant, raw);
  if (tags.length + digests.length === 0 && !imagesInLedger(ledger, tenant).has(idOf(raw))) return undefined;
  return asOwn(tenant, raw);
}

async function findById(
  { engine, ledger }: OwnImagesDependencies,
  tenant: string,
  given: string,
  hex: string,
  signal: AbortSignal,
): Promise<OwnImage> {
  const known = imagesInLedger(ledger, tenant);
  const begins = (id: string): boolean => id.startsWith(`sha256:${hex}`);
  const found = (await listImages(engine, { all: true, signal })).filter((raw) => {
    const { tags, digests } = namesOf(tenant, raw);
    return begins(idOf(raw)) && (tags.length + digests.length > 0 || known.has(idOf(raw)));
  });
  const [raw, another] = found;
  if (raw === undefined) throw noSuchImage(given);
  if (another !== undefined) {
    throw new Refusal(
      "image.ambiguous",
      `No such image: ${given}: ${found.length} images have an ID that begins with it`,
      {
        statusCode: 404,
      },
    );
  }
  return asOwn(tenant, raw);
}

async function take(
  dependencies: OwnImagesDependencies,
  tenant: Tenant,
  id: string,
  signal: AbortSignal,
  names?: readonly string[],
): Promise<void> {
  const { engine, ledger, limits } = dependencies;
  const raw = await inspectImage(engine, id, { signal });
  if (raw === undefined) throw noSuchImage(id);
  refuseOthers(tenant.id, raw);
  const known = imagesInLedger(ledger, tenant.id).get(idOf(raw));
  const wasOwn = namesOf(tenant.id, raw).tags.length > 0 || (known !== undefined && known.isIntermediate !== true);
  try {
    await recordImages(ledger, tenant.id, [{ id: idOf(raw), created: Date.now() }]);
    const { images, listed } = await list(dependencies, tenant.id, signal);
    refuseLabels(
      objectOf(raw["Config"])["Labels"],
      listed.map((image) => image["Labels"]),
    );
    const held = heldOf(withNames(images, idOf(raw), names ?? []));
    limits.checkImages(tenant, held.images, held.bytes);
  } catch (error) {
    // Does not use the caller's signal: an image that stays in the count would block the tenant's next build.
    const cleanup = AbortSignal.timeout(CLEANUP_TIMEOUT);
    if (names === undefined || !wasOwn) await giveBack(dependencies, tenant.id, raw, cleanup);
    await list(dependencies, tenant.id, cleanup).catch(() => {}); // reports the error of the image instead
    throw error;
  }
}

/** Refuses an image that no build of this tenant has created. Otherwise a base of the host would become the tenant's. */
function refuseOthers(tenant: string, raw: Json): void {
  const config = objectOf(raw["Config"]);
  // Some engines report no config for an image of another platform.
  if (Object.keys(config).length === 0) return;
  if (objectOf(config["Labels"])[TENANT_LABEL] === tenant) return;
  throw new Refusal("image.not-stamped", "the build made no image of its own: add a step to the Dockerfile", {
    statusCode: 400,
  });
}

/** Removes an image that the tenant may not have. */
async function giveBack(
  { engine, ledger }: OwnImagesDependencies,
  tenant: string,
  raw: Json,
  signal: AbortSignal,
): Promise<void> {
  const { tags, hasForeign } = namesOf(tenant, raw);
  for (const name of tags) await removeFromEngine(engine, name, signal).catch(() => {});
  if (!hasForeign) await removeFromEngine(engine, idOf(raw), signal).catch(() => {});
  await forgetImages(ledger, tenant, [idOf(raw)]);
}

async function takeIntermediate(ledger: Ledger, tenant: string, ids: readonly string[]): Promise<void> {
  const known = imagesInLedger(ledger, tenant);
  const added = ids.filter((id) => known.get(id)?.isIntermediate !== true);
  if (added.length > 0) {
    await recordImages(
      ledger,
      tenant,
      added.map((id) => ({ id, created: Date.now(), isIntermediate: true })),
    );
  }
}

function asOwn(tenant: string, raw: Json): OwnImage {
  const created = raw["Created"];
  return {
    id: idOf(raw),
    names: namesOf(tenant, raw).tags,
    created: typeof created === "string" ? Date.parse(textOf(created)) || 0 : numberOf(created) * 1000,
    size: numberOf(raw["Size"]),
  };
}
