import { Readable } from "node:stream";
import type { Credentials } from "../credentials.ts";
import type { ImageTransferOptions } from "../engine-images.ts";
import type { DockerApi } from "./docker-api.ts";
import { followProgress } from "./follow-progress.ts";
import { registryAuth } from "./registry-auth.ts";
import { platformQuery, PUSH_PLATFORM, SAVE_PLATFORM } from "./platform-query.ts";
import { inPath, splitName } from "./split-name.ts";
import { formatPlatform, type Platform } from "../../image/platform.ts";

/** Matches the host of a registry on the engine's machine. */
const OWN_MACHINE = /^(?:localhost|127(?:\.\d+){3})(?::\d+)?$/;

export async function saveImage(
  api: DockerApi,
  reference: string,
  { platform, signal }: { platform?: Platform; signal?: AbortSignal },
): Promise<Readable> {
  const query = { platform: platformQuery(api, platform, SAVE_PLATFORM) };
  const body = await api.stream("GET", `/images/${inPath(reference)}/get`, { query, signal, timeout: "work" });
  return Readable.from(body, { objectMode: false });
}

export async function pullImage(
  api: DockerApi,
  reference: string,
  { credentials, platform, signal, onProgress }: ImageTransferOptions,
): Promise<void> {
  const { repository, tag, digest, registry } = splitName(reference);
  // Without both, the API pulls every tag of the repository: only the CLI has the default `latest`.
  if (tag === undefined && digest === undefined) throw new TypeError(`a pull needs a tag or a digest: ${reference}`);
  const body = await api.stream("POST", "/images/create", {
    query: { fromImage: repository, tag: digest ?? tag, platform: platform && formatPlatform(platform) },
    registryAuth: authOf(registry, credentials),
    signal,
    timeout: "work",
  });
  await followProgress(body, onProgress);
}

/**
 * Pushes an image. Returns the digest of the manifest, if the engine reports it. Engines before 28 (API 1.46) ignore the platform: they
 * store one platform of an image, and push that.
 */
export async function pushImage(
  api: DockerApi,
  reference: string,
  { credentials, platform, signal, onProgress }: ImageTransferOptions,
): Promise<string | undefined> {
  const { repository, tag, registry } = splitName(reference);
  if (tag === undefined) throw new TypeError(`a push needs a tag: ${reference}`);
  // By default, Docker accepts a registry on its own machine without TLS. Podman needs this parameter.
  const tlsVerify = OWN_MACHINE.test(registry) ? false : undefined;
  const body = await api.stream("POST", `/images/${repository}/push`, {
    query: { tag, platform: platformQuery(api, platform, PUSH_PLATFORM), tlsVerify },
    registryAuth: authOf(registry, credentials),
    signal,
    timeout: "work",
  });
  return await followProgress(body, onProgress);
}

/**
 * Returns the value of the header, which is sent even without credentials: without the header, Docker 20.10 reads credentials from the
 * request's body.
 */
function authOf(registry: string, credentials: Credentials | undefined): object {
  return credentials === undefined ? {} : registryAuth(registry, credentials);
}
