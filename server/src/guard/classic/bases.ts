import { isAtLeast, jsonLines, parsePlatform, tryReference, type Reference } from "docker-over-ssh/builds";
import type { ApiObject } from "../backend.ts";
import type { BuildRequest, Credentials } from "../build-request.ts";
import type { Caller } from "../caller.ts";
import { EngineAnswer, type EngineApi } from "../engine/engine-api.ts";
import { bytesOfLabels } from "../images/labels.ts";
import type { OwnImages } from "../images/own-images.ts";
import { parseTenantName } from "../images/names.ts";
import { originOf } from "../policy/bases.ts";
import { checkHostOf } from "../policy/registry-host.ts";
import { Refusal } from "../refusal.ts";
import type { Base } from "./dockerfile/rewrite-dockerfile.ts";
import { registryAuthHeader } from "./registry-credentials.ts";

export interface BaseDependencies {
  engine: Pick<EngineApi, "request" | "json" | "version">;
  hasContainerdStore: (signal: AbortSignal) => Promise<boolean>;
  own: Pick<OwnImages, "find">;
  /** Returns the credentials for a registry: the guard's, or else the request's */
  credentials: (host: string) => Promise<Credentials | undefined>;
  onLine: (line: ApiObject) => void;
  signal: AbortSignal;
}

/** The fields of an inspected image that a build needs */
interface Inspected {
  Id: string;
  RepoTags?: string[] | null;
  RepoDigests?: string[] | null;
  Config?: { Env?: string[] | null; OnBuild?: string[] | null; Labels?: Record<string, string> | null } | null;
}

/** The first version of the API that returns the config of an image for a platform */
const PLATFORM_API = "1.49";

/**
 * Returns a function that finds the bases that the policy allows: the tenant's own images, the host's, or a registry's. It pulls an image by its digest, so
 * that no tag of the host is created or moved. It looks up each base once for a build.
 */
export function baseResolver(caller: Caller, request: BuildRequest, dependencies: BaseDependencies) {
  const found = new Map<string, Promise<Base>>();
  return async (given: string, platform = request.platform): Promise<Base> => {
    const key = `${platform ?? ""} ${given}`;
    const known = found.get(key) ?? resolve(caller, request, dependencies, given, platform);
    found.set(key, known);
    return await known;
  };
}

async function resolve(
  { tenant, signal }: Caller,
  { pull }: BuildRequest,
  dependencies: BaseDependencies,
  given: string,
  platform: string | undefined,
): Promise<Base> {
  const own = await ownId(tenant.id, given, dependencies, signal);
  if (own !== undefined) return await inspect(own, platform, dependencies);
  const reference = parseTenantName(given);
  const origin = originOf(reference, tenant.policy, false);
  const { domain, path, tag, digest } = reference;
  const name = `${domain}/${path}`;
  if (origin === "host" && !pull) {
    const suffix = digest === undefined ? `:${tag ?? "latest"}` : `@${digest}`;
    const local = await findLocal(suffix, reference, platform, dependencies);
    if (local !== undefined) return local;
  }
  await checkHostOf(reference, [...tenant.policy.bases, ...tenant.policy.pulls]);
  const credentials = await dependencies.credentials(domain);
  const headers = credentials === undefined ? {} : { "x-registry-auth": registryAuthHeader(credentials, domain) };
  // Requested even if the digest is known, because the registry decides whether the tenant may have the image.
  const pinnedDigest = await remoteDigest(reference, headers, dependencies);
  const pinned = `${name}@${pinnedDigest}`;
  const present =
    platform === undefined ? await findLocal(`@${pinnedDigest}`, reference, platform, dependencies) : undefined;
  if (present !== undefined) return present;
  await pullPinned(name, pinnedDigest, platform, headers, dependencies);
  return await inspect(pinned, platform, dependencies);
}

async function ownId(
  tenant: string,
  given: string,
  { own }: BaseDependencies,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    return (await own.find(tenant, given, signal)).id;
  } catch (error) {
    if (error instanceof Refusal && error.statusCode === 404) return undefined;
    throw error;
  }
}

async function inspect(nameOrId: string, platform: string | undefined, dependencies: BaseDependencies): Promise<Base> {
  return await toBase(await inspectImage(nameOrId, dependencies), platform, dependencies);
}

async function inspectImage(nameOrId: string, { engine, signal }: BaseDependencies): Promise<Inspected> {
  return (await engine.json({ method: "GET", path: `/images/${nameOrId}/json`, signal })) as Inspected;
}

async function toBase(image: Inspected, platform: string | undefined, dependencies: BaseDependencies): Promise<Base> {
  const config = (await configFor(image.Id, platform, dependencies)) ?? image.Config;
  return {
    id: image.Id,
    env: config?.Env ?? [],
    triggers: config?.OnBuild ?? [],
    labelBytes: bytesOfLabels(config?.Labels),
  };
}

/**
 * Returns the config that FROM uses for a platform, or undefined if the image has only one config. In the containerd image store, an ID may name a
 * multi-platform image, which has different triggers for each platform.
 */
async function configFor(
  id: string,
  given: string | undefined,
  { engine, signal, hasContainerdStore }: BaseDependencies,
): Promise<Inspected["Config"]> {
  if (given === undefined || !(await hasContainerdStore(signal))) return undefined;
  const platform = parsePlatform(given);
  if (platform === undefined) {
    throw new Refusal("base.platform", `"${given}" is not a platform: write it as linux/arm64`, { statusCode: 400 });
  }
  const { apiVersion } = await engine.version(signal);
  if (!isAtLeast(apiVersion, PLATFORM_API)) {
    throw new Refusal("base.platform", "this engine does not report its images for another platform: omit --platform");
  }
  const query = [["platform", JSON.stringify(platform)]] as const;
  const image = (await engine.json({ method: "GET", path: `/images/${id}/json`, query, signal })) as Inspected;
  return image.Config ?? {};
}

/**
 * Finds the host's image of a repository. Docker 24 and 25 with the containerd store look up a name with a digest only by the digest, so they could return
 * another tenant's image.
 */
async function findLocal(
  tagOrDigest: string,
  { domain, path }: Reference,
  platform: string | undefined,
  dependencies: BaseDependencies,
): Promise<Base | undefined> {
  try {
    const image = await inspectImage(`${domain}/${path}${tagOrDigest}`, dependencies);
    const names = [...(image.RepoTags ?? []), ...(image.RepoDigests ?? [])].map(tryReference);
    const isOfRepository = names.some((name) => name?.domain === domain && name.path === path);
    return isOfRepository ? await toBase(image, platform, dependencies) : undefined;
  } catch (error) {
    if (error instanceof EngineAnswer && error.statusCode === 404) return undefined;
    throw error;
  }
}

async function remoteDigest(
  reference: Reference,
  headers: Record<string, string>,
  dependencies: BaseDependencies,
): Promise<string> {
  const { domain, path, tag, digest } = reference;
  const name = `${domain}/${path}${digest === undefined ? `:${tag ?? "latest"}` : `@${digest}`}`;
  const { engine, signal } = dependencies;
  try {
    const found = (await engine.json({ method: "GET", path: `/distribution/${name}/json`, headers, signal })) as {
      Descriptor?: { digest?: string };
    };
    const pinned = found.Descriptor?.digest ?? "";
    if (/^sha\d+:[0-9a-f]{32,128}$/.test(pinned)) return pinned;
  } catch (error) {
    if (!(error instanceof EngineAnswer)) throw error;
    throw new Refusal("base.registry", `${reference.given} cannot be pulled: ${error.message}`, {
      statusCode: 404,
      cause: error,
    });
  }
  throw new Refusal("base.registry", `the registry names no digest for ${reference.given}`, { statusCode: 502 });
}

/** Pulls an image without giving it a tag. The tenant gets the lines of progress. */
async function pullPinned(
  name: string,
  digest: string,
  platform: string | undefined,
  headers: Record<string, string>,
  { engine, signal, onLine }: BaseDependencies,
): Promise<void> {
  const query: [string, string][] = [
    ["fromImage", name],
    ["tag", digest],
    ...(platform === undefined ? [] : [["platform", platform] as [string, string]]),
  ];
  const { body } = await engine.request({ method: "POST", path: "/images/create", query, headers, signal });
  for await (const line of jsonLines(body)) {
    const { error, status, id, progress, progressDetail } = (line ?? {}) as Record<string, unknown>;
    if (typeof error === "string")
      throw new Refusal("base.registry", `${name} cannot be pulled: ${error}`, { statusCode: 404 });
    onLine({ status, id, progress, progressDetail });
  }
}
