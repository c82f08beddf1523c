import { EngineAnswer, type EngineApi } from "../engine/engine-api.ts";
import { Refusal } from "../refusal.ts";
import { prefixOf, inTenantsWords } from "./names.ts";
import { arrayOf, objectOf, textOf, textsOf, type Json } from "./json.ts";

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

/** Lists the images of the engine; with `all`, also intermediate ones. */
export async function listImages(
  engine: ImagesEngine,
  options: { all: boolean; manifests?: boolean; apiVersion?: string | undefined; signal: AbortSignal },
): Promise<Json[]> {
  const { all, manifests = false, apiVersion, signal } = options;
  const query: [string, string][] = [];
  if (all) query.push(["all", "1"]);
  if (manifests) query.push(["manifests", "1"]);
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
export async function inWordsOf<T>(tenant: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw refusalOf(tenant, error);
  }
}

/** Returns the Refusal for an error of the engine, with the tenant's names; any other error unchanged. */
export function refusalOf(tenant: string, error: unknown): unknown {
  if (!(error instanceof EngineAnswer)) return error;
  // IDs of the host's containers mean nothing to a tenant.
  const message = inTenantsWords(tenant, error.message).replaceAll(/\bcontainer [0-9a-f]{12,64}\b/g, "a container");
  return new Refusal("engine.answer", message, { statusCode: error.statusCode, cause: error });
}
