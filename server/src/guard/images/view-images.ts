import type { ApiObject, ImageFilter } from "../backend.ts";
import type { Caller } from "../caller.ts";
import type { Ledger } from "../ledger/ledger.ts";
import { noSuchImage } from "../refusal.ts";
import { isAtLeast, parsePlatform } from "docker-over-ssh/builds";
import { idOf, inspectImage, listImages, namesOf, type ImagesEngine } from "./engine-images.ts";
import { imageTest, referenceTest } from "./image-filters.ts";
import { imagesInLedger } from "../ledger/ledger-images.ts";
import { arrayOf, objectOf, textOf } from "./json.ts";
import { tenantName } from "./names.ts";
import type { OwnImages } from "./own-images.ts";
import { historyOf, inspectionOf, summaryOf } from "./visible-properties.ts";

export interface ViewDependencies {
  engine: ImagesEngine;
  own: OwnImages;
  ledger: Ledger;
}

/** Serves `GET /images/json`. */
export async function viewList(
  dependencies: ViewDependencies,
  caller: Caller,
  filter: ImageFilter,
): Promise<ApiObject[]> {
  const { tenant, apiVersion, signal } = caller;
  const known = imagesInLedger(dependencies.ledger, tenant.id);
  const isListed = referenceTest(filter);
  const test = await imageTest(dependencies.own, caller, filter);
  const { all, manifests = false } = filter;
  const shown: ApiObject[] = [];
  for (const raw of await listImages(dependencies.engine, { all, manifests, apiVersion, signal })) {
    const { tags, digests } = namesOf(tenant.id, raw);
    const entry = known.get(idOf(raw));
    const isNamed = tags.length + digests.length > 0;
    if (!isNamed && (entry === undefined || (entry.isIntermediate === true && !all))) continue;
    if (!test(raw, isNamed)) continue;
    const names = {
      tags: mapped(tenant.id, tags).filter(isListed),
      digests: mapped(tenant.id, digests).filter(isListed),
    };
    if (filter.references.length > 0 && names.tags.length + names.digests.length === 0) continue;
    const parent = textOf(raw["ParentId"]);
    shown.push({
      ...summaryOf(raw),
      ParentId: known.has(parent) ? parent : "",
      ...namesAsListed(names, apiVersion),
    });
  }
  return shown;
}

/** Serves `GET /images/NAME/json`. */
export async function viewOne(
  { engine, own, ledger }: ViewDependencies,
  { tenant, apiVersion, signal }: Caller,
  given: string,
  { platform, manifests }: { platform?: string | undefined; manifests: boolean },
): Promise<ApiObject> {
  const { id } = await own.find(tenant.id, given, signal);
  const query: [string, string][] = [...platformQuery(platform)];
  if (manifests) query.push(["manifests", "1"]);
  const raw = await inspectImage(engine, id, { query, apiVersion, signal });
  if (raw === undefined) throw noSuchImage(given);
  const { tags, digests } = namesOf(tenant.id, raw);
  const parent = textOf(raw["Parent"]);
  return {
    ...inspectionOf(raw),
    RepoTags: mapped(tenant.id, tags),
    RepoDigests: mapped(tenant.id, digests),
    ...("Parent" in raw && { Parent: imagesInLedger(ledger, tenant.id).has(parent) ? parent : "" }),
  };
}

/** Serves `GET /images/NAME/history`. */
export async function viewHistory(
  { engine, own, ledger }: ViewDependencies,
  { tenant, apiVersion, signal }: Caller,
  given: string,
  { platform }: { platform?: string | undefined },
): Promise<ApiObject[]> {
  const { id } = await own.find(tenant.id, given, signal);
  const path = `/images/${id}/history`;
  const found = await engine.json({ method: "GET", path, query: platformQuery(platform), apiVersion, signal });
  const known = imagesInLedger(ledger, tenant.id);
  return arrayOf(found)
    .map(objectOf)
    .map((raw) => {
      const tags = mapped(tenant.id, namesOf(tenant.id, { RepoTags: raw["Tags"] }).tags);
      const isOwn = idOf(raw) === id || known.has(idOf(raw)) || tags.length > 0;
      return { ...historyOf(raw), Id: isOwn ? idOf(raw) : "<missing>", Tags: tags.length === 0 ? null : tags };
    });
}

/**
 * Returns the query for a platform, which the API accepts as JSON.
 *
 * @param platform e.g. `linux/arm64/v8`
 */
export function platformQuery(platform: string | undefined): [string, string][] {
  const parsed = platform === undefined ? undefined : parsePlatform(platform);
  return parsed === undefined ? [] : [["platform", JSON.stringify(parsed)]];
}

/** Maps names on the engine to the tenant's names. */
function mapped(tenant: string, names: readonly string[]): string[] {
  return names.map((name) => tenantName(tenant, name)).filter((name) => name !== undefined);
}

/** Returns names for a listing. Before API 1.43, an image without names has the name `<none>`. */
function namesAsListed(
  { tags, digests }: { tags: string[]; digests: string[] },
  apiVersion: string | undefined,
): { RepoTags: string[]; RepoDigests: string[] } {
  const isOld = apiVersion !== undefined && !isAtLeast(apiVersion, "1.43");
  if (isOld && tags.length + digests.length === 0)
    return { RepoTags: ["<none>:<none>"], RepoDigests: ["<none>@<none>"] };
  return { RepoTags: tags, RepoDigests: digests };
}
