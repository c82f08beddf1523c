import { abortable } from "docker-over-ssh/builds";
import { EngineAnswer, type EngineApi } from "../engine/engine-api.ts";
import { Refusal } from "../refusal.ts";
import { prefixOf, withTenantNames } from "./names.ts";
import { arrayOf, objectOf, textOf, textsOf, type Json } from "./json.ts";
import { shared } from "./shared-listing.ts";

/** The engine operations that this folder uses. */
export type ImagesEngine = Pick<EngineApi, "json" | "request">;

/** The name that old versions of the API send for an image without names */
const NONE = /^<none>[:@]<none>$/;

/** The names of an image on the engine. */
export interface EngineNames {
  /** The tenant's names with a tag; `digests` are those with a digest */
  tags: string[];
  digests: string[];
  /** Whether the host or another tenant has names for it as well */
  hasForeign: boolean;
}

/** Returns the names in an entry of a listing or in an inspection. */
export function namesOf(tenant: string, raw: Json): EngineNames {
  const prefix = prefixOf(tenant);
  const all = (value: unknown): string[] => textsOf(value).filter((name) => !NONE.test(name));
  const [tags, digests] = [all(raw["RepoTags"]), all(raw["RepoDigests"])];
  const isOwn = (name: string): boolean => name.startsWith(prefix);
  return {
    tags: tags.filter(isOwn),
    digests: digests.filter(isOwn),
    hasForeign: [...tags, ...digests].some((name) => !isOwn(name)),
  };
}

export function idOf(raw: Json): string {
  return textOf(raw["Id"]);
}

interface Listing {
  all: boolean;
  manifests?: boolean;
  apiVersion?: string | undefined;
}

/** Maximum ms of a listing, which is independent of the calls that wait for it */
const LIST_TIMEOUT = 120_000;
/** The functions that list the images of an engine, by the options of the listing */
const LISTINGS = new WeakMap<ImagesEngine, Map<string, () => Promise<Json[]>>>();

/**
 * Lists all images of the engine; with `all`, also those from which other images were built. A list contains the images of all tenants. If there are many, the
 * engine needs a long time, so simultaneous calls share one listing.
 */
export async function listImages(engine: ImagesEngine, options: Listing & { signal: AbortSignal }): Promise<Json[]> {
  const { signal, ...listing } = options;
  signal.throwIfAborted();
  const ofEngine = LISTINGS.get(engine) ?? new Map<string, () => Promise<Json[]>>();
  LISTINGS.set(engine, ofEngine);
  const key = JSON.stringify([listing.all, listing.manifests, listing.apiVersion]);
  const list = ofEngine.get(key) ?? shared(async () => await requestList(engine, listing));
  ofEngine.set(key, list);
  return await abortable(list(), signal);
}

async function requestList(engine: ImagesEngine, { all, manifests = false, apiVersion }: Listing): Promise<Json[]> {
  const query: [string, string][] = [];
  if (all) query.push(["all", "1"]);
  if (manifests) query.push(["manifests", "1"]);
  const signal = AbortSignal.timeout(LIST_TIMEOUT);
  return arrayOf(await engine.json({ method: "GET", path: "/images/json", query, apiVersion, signal })).map(objectOf);
}

/** Inspects an image by its ID, or by a name on the engine. Resolves with undefined if it does not exist. */
export async function inspectImage(
  engine: ImagesEngine,
  name: string,
  options: {
    query?: readonly (readonly [string, string])[];
    apiVersion?: string | undefined;
    signal: AbortSignal;
  },
): Promise<Json | undefined> {
  try {
    return objectOf(await engine.json({ method: "GET", path: `/images/${name}/json`, ...options }));
  } catch (error) {
    if (error instanceof EngineAnswer && error.statusCode === 404) return undefined;
    throw error;
  }
}

/** Removes only a name, or an image by its ID. Keeps its parents, and fails if the image is in use. */
export async function removeFromEngine(engine: ImagesEngine, name: string, signal: AbortSignal): Promise<Json[]> {
  const query = [["noprune", "1"]] as const;
  return arrayOf(await engine.json({ method: "DELETE", path: `/images/${name}`, query, signal })).map(objectOf);
}

/** Runs a call. An error of the engine becomes a Refusal with the tenant's names. */
export async function asRefusals<T>(tenant: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw asRefusal(tenant, error);
  }
}

/** Returns the Refusal for an error of the engine, with the tenant's names. Returns any other error unchanged. */
export function asRefusal(tenant: string, error: unknown): unknown {
  if (!(error instanceof EngineAnswer)) return error;
  // IDs of the host's containers are meaningless to a tenant.
  const message = withTenantNames(tenant, error.message).replaceAll(/\bcontainer [0-9a-f]{12,64}\b/g, "a container");
  return new Refusal("engine.answer", message, { statusCode: error.statusCode, cause: error });
}
