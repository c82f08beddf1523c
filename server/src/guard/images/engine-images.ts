import { abortable } from "docker-over-ssh/builds";
import { EngineAnswer, type EngineApi } from "../engine/engine-api.ts";
import { Refusal } from "../refusal.ts";
import { prefixOf, withTenantNames } from "./names.ts";
import { arrayOf, objectOf, textOf, textsOf, type Json } from "./json.ts";
import { shared } from "./shared-listing.ts";

/** The part of the engine that this folder uses. */
export type ImagesEngine = Pick<EngineApi, "json" | "request">;

/** As old versions of the API write an image without names */
const NONE = /^<none>[:@]<none>$/;

/** The names of an image on the engine. */
export interface EngineNames {
  /** Names of the tenant, with a tag, and with a digest */
  tags: string[];
  digests: string[];
  /** Whether the host or another tenant has names for it as well */
  hasForeign: boolean;
}

/** Returns the names in a listing or an inspection. */
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

/** ms for a list, whoever waits for it */
const LIST_TIMEOUT = 120_000;
/** What lists the images of an engine, by what it asks for */
const LISTINGS = new WeakMap<ImagesEngine, Map<string, () => Promise<Json[]>>>();

/**
 * Lists all images of the engine; with `all`, those that other images are made of as well. A list has the images of all tenants, and takes the engine long
 * where they have many, so those who ask at the same time get one.
 */
export async function listImages(engine: ImagesEngine, options: Listing & { signal: AbortSignal }): Promise<Json[]> {
  const { signal, ...listing } = options;
  signal.throwIfAborted();
  const ofEngine = LISTINGS.get(engine) ?? new Map<string, () => Promise<Json[]>>();
  LISTINGS.set(engine, ofEngine);
  const key = JSON.stringify([listing.all, listing.manifests, listing.apiVersion]);
  const ask = ofEngine.get(key) ?? shared(async () => await askForList(engine, listing));
  ofEngine.set(key, ask);
  return await abortable(ask(), signal);
}

async function askForList(engine: ImagesEngine, { all, manifests = false, apiVersion }: Listing): Promise<Json[]> {
  const query: [string, string][] = [];
  if (all) query.push(["all", "1"]);
  if (manifests) query.push(["manifests", "1"]);
  const signal = AbortSignal.timeout(LIST_TIMEOUT);
  return arrayOf(await engine.json({ method: "GET", path: "/images/json", query, apiVersion, signal })).map(objectOf);
}

/** Inspects an image by its ID, or by a name on the engine. Resolves with undefined where there is none. */
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

/** Removes a name, or an image by its ID, and nothing else: no parents, and nothing that is in use. */
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

/** Returns the Refusal for an error of the engine, with the tenant's names; any other error unchanged. */
export function asRefusal(tenant: string, error: unknown): unknown {
  if (!(error instanceof EngineAnswer)) return error;
  // IDs of the host's containers mean nothing to a tenant.
  const message = withTenantNames(tenant, error.message).replaceAll(/\bcontainer [0-9a-f]{12,64}\b/g, "a container");
  return new Refusal("engine.answer", message, { statusCode: error.statusCode, cause: error });
}
