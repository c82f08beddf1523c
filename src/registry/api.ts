import type { Credentials } from "../engine/engine.ts";
import { Failure, messageOf } from "../output/errors.ts";
import { basicAuth } from "./password.ts";

/** The little that this process itself asks of a registry (OCI distribution spec 1.1). */

/** Media types of image manifests and of indexes, of both families. */
const MANIFEST_TYPES = [
  "application/vnd.docker.distribution.manifest.v2+json",
  "application/vnd.oci.image.manifest.v1+json",
];
const INDEX_TYPES = [
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.oci.image.index.v1+json",
];
/** Bytes. The spec asks registries to take 4 MB; nobody needs more. */
const MAX_MANIFEST = 4 * 1024 * 1024;
/** ms for one small answer. */
const ANSWER_TIMEOUT = 10_000;

export type Ping = "ready" | "asks-for-password" | "not-a-registry" | "unreachable";

/** What answers at `url`/v2/ within `timeout` ms (spec, "end-1"). Never rejects but for an abort. */
export async function pingRegistry(
  url: string,
  credentials: Credentials | undefined,
  signal: AbortSignal,
  timeout = ANSWER_TIMEOUT,
): Promise<{ ping: Ping; why: string }> {
  try {
    const response = await get(`${url}/v2/`, credentials, signal, { timeout });
    await response.body?.cancel();
    // Distribution has sent this header since version 2; the OCI spec dropped it, so a plain 200 will do as well.
    const known = response.headers.get("docker-distribution-api-version") === "registry/2.0";
    if (response.status === 200) return { ping: "ready", why: "" };
    if (response.status === 401 && (known || response.headers.has("www-authenticate")))
      return { ping: "asks-for-password", why: "" };
    return { ping: "not-a-registry", why: `it answers /v2/ with status ${response.status}` };
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    if (error instanceof Error && error.name === "TimeoutError") return { ping: "unreachable", why: "no answer" };
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    // undici's codes for an answer that is not HTTP
    const notHttp = String((cause as { code?: unknown }).code).startsWith("HPE_");
    return { ping: notHttp ? "not-a-registry" : "unreachable", why: messageOf(cause) };
  }
}

export interface LayerBlob {
  digest: string;
  /** Compressed, bytes. */
  size: number;
}

/** The layers of an image as the registry holds them, bottom first, and the digest of its config. */
export interface RegistryImage {
  configDigest: string;
  layers: LayerBlob[];
}

/** Reads an image's manifest; of an index, the entry for `platform` (`os/arch[/variant]`). */
export async function readImage(
  url: string,
  credentials: Credentials | undefined,
  { repository, reference, platform }: { repository: string; reference: string; platform: string },
  signal: AbortSignal,
): Promise<RegistryImage> {
  const manifest = await getManifest(`${url}/v2/${repository}/manifests/`, reference, credentials, signal);
  if (manifest.manifests === undefined) return imageOf(manifest);
  const chosen = manifest.manifests.find((entry) => platformMatches(entry.platform, platform));
  if (chosen === undefined) throw new Failure("image-not-found", `the image has no variant for ${platform}`);
  return imageOf(await getManifest(`${url}/v2/${repository}/manifests/`, chosen.digest, credentials, signal));
}

interface Descriptor {
  digest: string;
  size: number;
  platform?: { os?: string; architecture?: string; variant?: string };
}

interface Manifest {
  manifests?: Descriptor[];
  config?: Descriptor;
  layers?: Descriptor[];
}

async function getManifest(
  base: string,
  reference: string,
  credentials: Credentials | undefined,
  signal: AbortSignal,
): Promise<Manifest> {
  const accept = [...MANIFEST_TYPES, ...INDEX_TYPES].join(", ");
  try {
    const response = await get(base + reference, credentials, signal, { accept });
    const text = await response.text();
    if (response.ok && text.length <= MAX_MANIFEST) return JSON.parse(text) as Manifest;
    throw new Error(`status ${response.status}`);
  } catch (error) {
    signal.throwIfAborted();
    throw new Failure(
      "registry-unavailable",
      `the registry did not give the manifest of ${reference}: ${messageOf(error)}`,
      { expected: "the manifest that the engine has just pushed there", cause: error },
    );
  }
}

function imageOf({ config, layers = [] }: Manifest): RegistryImage {
  return { configDigest: config?.digest ?? "", layers: layers.map(({ digest, size }) => ({ digest, size })) };
}

function platformMatches(found: Descriptor["platform"], wanted: string): boolean {
  const [os, architecture, variant] = wanted.split("/");
  return (
    found?.os === os &&
    found?.architecture === architecture &&
    (variant === undefined || found?.variant === undefined || found.variant === variant)
  );
}

interface GetOptions {
  accept?: string;
  /** ms */
  timeout?: number;
}

async function get(
  url: string,
  credentials: Credentials | undefined,
  stop: AbortSignal,
  { accept = "*/*", timeout = ANSWER_TIMEOUT }: GetOptions = {},
): Promise<Response> {
  const headers = { accept, ...(credentials === undefined ? {} : { authorization: basicAuth(credentials) }) };
  const signal = AbortSignal.any([stop, AbortSignal.timeout(timeout)]);
  return await fetch(url, { headers, redirect: "error", signal });
}
