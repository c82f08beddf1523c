import type { Reference } from "docker-over-ssh/builds";
import type { Ledger, LedgerImage } from "../ledger/ledger.ts";
import type { Limits } from "../limits/limits.ts";
import { noSuchImage, Refusal } from "../refusal.ts";
import type { Tenant } from "../tenant.ts";
import {
  idOf,
  inspectImage,
  inWordsOf,
  listImages,
  namesOf,
  removeFromEngine,
  type ImagesEngine,
} from "./engine-images.ts";
import { idPrefix, nameAsListed } from "./given-image.ts";
import { refuseLabels } from "./labels.ts";
import { numberOf, objectOf, textOf, type Json } from "./json.ts";
import { engineName, parseTenantName } from "./names.ts";
import type { FoundImage, OwnImage, OwnImages } from "./own-images.ts";
import { TENANT_LABEL } from "./reserved.ts";

export interface OwnImagesParts {
  engine: ImagesEngine;
  ledger: Ledger;
  limits: Limits;
}

export function createOwnImages(parts: OwnImagesParts): OwnImages {
  return {
    list: async (tenant, signal) => (await list(parts, tenant, signal)).images,
    find: async (tenant, given, signal) =>
      await inWordsOf(tenant, async () => await find(parts, tenant, given, signal)),
    take: async (tenant, id, signal, names) =>
      await inWordsOf(tenant.id, async () => await take(parts, tenant, id, signal, names)),
    takeIntermediate: async (tenant, ids) => await takeIntermediate(parts.ledger, tenant.id, ids),
  };
}

/** Returns a tenant's images in the ledger, by their IDs. */
export function inLedger(ledger: Ledger, tenant: string): ReadonlyMap<string, LedgerImage> {
  return new Map(ledger.read(tenant).images.map((image) => [image.id, image]));
}

/** @returns beside the images that count, what the engine tells of all: of steps, too */
async function list(
  { engine, ledger, limits }: OwnImagesParts,
  tenant: string,
  signal: AbortSignal,
): Promise<{ images: OwnImage[]; listed: readonly Json[] }> {
  const known = inLedger(ledger, tenant);
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

/** Returns `images` as they will be when one of them gets new names, which others lose. */
function withNames(images: readonly OwnImage[], given: string, added: readonly string[]): OwnImage[] {
  const moved = new Set(added);
  return images.map((image) => {
    const left = image.names.filter((name) => !moved.has(name));
    return { ...image, names: image.id === given ? [...left, ...moved] : left };
  });
}

async function find(parts: OwnImagesParts, tenant: string, given: string, signal: AbortSignal): Promise<FoundImage> {
  const prefix = idPrefix(given);
  if (prefix?.isCertain === true) return await findById(parts, tenant, given, prefix.hex, signal);
  const reference = parseTenantName(given);
  const named = await findByName(parts, tenant, reference, signal);
  if (named !== undefined) return { ...named, foundAs: engineName(tenant, reference) };
  if (prefix === undefined) throw noSuchImage(nameAsListed(reference));
  return await findById(parts, tenant, given, prefix.hex, signal);
}

async function findByName(
  { engine, ledger }: OwnImagesParts,
  tenant: string,
  reference: Reference,
  signal: AbortSignal,
): Promise<OwnImage | undefined> {
  const raw = await inspectImage(engine, engineName(tenant, reference), { signal });
  if (raw === undefined) return undefined;
  // Some engines look up a name with a digest by the digest only, and would return anybody's image.
  const { tags, digests } = namesOf(tenant, raw);
  if (tags.length + digests.length === 0 && !inLedger(ledger, tenant).has(idOf(raw))) return undefined;
  return asOwn(tenant, raw);
}

async function findById(
  { engine, ledger }: OwnImagesParts,
  tenant: string,
  given: string,
  hex: string,
  signal: AbortSignal,
): Promise<OwnImage> {
  const known = inLedger(ledger, tenant);
  const begins = (id: string): boolean => id.startsWith(`sha256:${hex}`);
  const found = (await listImages(engine, { all: true, signal })).filter((raw) => {
    const { tags, digests } = namesOf(tenant, raw);
    return begins(idOf(raw)) && (tags.length + digests.length > 0 || known.has(idOf(raw)));
  });
  const [raw, another] = found;
  if (raw === undefined) throw noSuchImage(given);
  if (another !== undefined) {
    throw new Refusal("image.ambiguous", `No such image: ${given}: the IDs of ${found.length} images begin so`, {
      statusCode: 404,
    });
  }
  return asOwn(tenant, raw);
}

async function take(
  parts: OwnImagesParts,
  tenant: Tenant,
  id: string,
  signal: AbortSignal,
  names?: readonly string[],
): Promise<void> {
  const { engine, ledger, limits } = parts;
  const raw = await inspectImage(engine, id, { signal });
  if (raw === undefined) throw noSuchImage(id);
  refuseOthers(tenant.id, raw);
  const known = inLedger(ledger, tenant.id).get(idOf(raw));
  const wasOwn = namesOf(tenant.id, raw).tags.length > 0 || (known !== undefined && known.isIntermediate !== true);
  try {
    await note(ledger, tenant.id, [{ id: idOf(raw), created: Date.now() }]);
    const { images, listed } = await list(parts, tenant.id, signal);
    refuseLabels(
      objectOf(raw["Config"])["Labels"],
      listed.map((one) => one["Labels"]),
    );
    const held = heldOf(withNames(images, idOf(raw), names ?? []));
    limits.checkImages(tenant, held.images, held.bytes);
  } catch (error) {
    if (names === undefined || !wasOwn) await giveBack(parts, tenant.id, raw, signal);
    throw error;
  }
}

/** Refuses an image that no build of this tenant made: otherwise a base of the host would become the tenant's. */
function refuseOthers(tenant: string, raw: Json): void {
  const config = objectOf(raw["Config"]);
  // An image for another platform has no config here on some engines.
  if (Object.keys(config).length === 0) return;
  if (objectOf(config["Labels"])[TENANT_LABEL] === tenant) return;
  throw new Refusal("image.not-stamped", "the build made no image of its own: add a step to the Dockerfile", {
    statusCode: 400,
  });
}

/** Removes an image that the tenant may not have. */
async function giveBack(
  { engine, ledger }: OwnImagesParts,
  tenant: string,
  raw: Json,
  signal: AbortSignal,
): Promise<void> {
  const { tags, hasForeign } = namesOf(tenant, raw);
  for (const name of tags) await removeFromEngine(engine, name, signal).catch(() => {});
  if (!hasForeign) await removeFromEngine(engine, idOf(raw), signal).catch(() => {});
  await forget(ledger, tenant, [idOf(raw)]);
}

async function takeIntermediate(ledger: Ledger, tenant: string, ids: readonly string[]): Promise<void> {
  const known = inLedger(ledger, tenant);
  const added = ids.filter((id) => known.get(id)?.isIntermediate !== true);
  if (added.length > 0) {
    await note(
      ledger,
      tenant,
      added.map((id) => ({ id, created: Date.now(), isIntermediate: true })),
    );
  }
}

/** Records images. An entry replaces an earlier one, e.g. of an intermediate image. */
export async function note(ledger: Ledger, tenant: string, images: readonly LedgerImage[]): Promise<void> {
  await ledger.change(tenant, (record) => {
    const ids = new Set(images.map(({ id }) => id));
    record.images = [...record.images.filter(({ id }) => !ids.has(id)), ...images];
  });
}

/** Removes images that are gone from the ledger. If the disk is full they stay there, where a stale ID does no harm. */
export async function forget(ledger: Ledger, tenant: string, ids: readonly string[]): Promise<void> {
  const gone = new Set(ids);
  if (!ledger.read(tenant).images.some(({ id }) => gone.has(id))) return;
  try {
    await ledger.change(tenant, (record) => {
      record.images = record.images.filter(({ id }) => !gone.has(id));
    });
  } catch (error) {
    if (!(error instanceof Refusal && error.rule === "ledger.full")) throw error;
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
