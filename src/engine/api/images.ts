import { Readable } from "node:stream";
import { isKnownPlatform, formatPlatform, matchesPlatform, parsePlatform } from "../../image/platform.ts";
import { gzip } from "../../streams/gzip.ts";
import { isAtLeast } from "../compare-versions.ts";
import type { DockerApi } from "./docker-api.ts";
import { isOneStream, type EngineAddress } from "../connect/endpoint.ts";
import type { Credentials, ImageInfo, TransferOptions } from "../engine-images.ts";
import { EngineError } from "../engine-error.ts";
import { inPath, splitName } from "./split-name.ts";
import { followLoad, followProgress } from "./follow-progress.ts";

/** API versions that added a platform to a call (moby `docs/api/version-history.md`); tested with Docker 28.5 and 29.7. */
const INSPECT_PLATFORM = "1.49";
const PUSH_PLATFORM = "1.46";
export const LOAD_PLATFORM = "1.48";
const SAVE_PLATFORM = "1.48";

/** A registry's host on the engine's machine. */
const OWN_MACHINE = /^(?:localhost|127(?:\.\d+){3})(?::\d+)?$/;

interface ImageInspect {
  Id: string;
  Os: string;
  Architecture: string;
  Variant?: string;
  Size?: number;
  RepoTags?: string[] | null;
  RootFS?: { Layers?: string[] | null };
}

/** An image in a list of them. */
interface ImageSummary {
  Id: string;
  /** Seconds since the epoch. */
  Created: number;
  Size: number;
  RepoTags?: string[] | null;
  RepoDigests?: string[] | null;
}

/** Limits a list to the images of a name, with a tag or without. */
function named(reference: string) {
  return { query: { filters: { reference: [reference] } } };
}

/** Returns undefined when there is no such image, or not for that platform. */
export async function inspectImage(
  api: DockerApi,
  reference: string,
  platform?: string,
): Promise<ImageInfo | undefined> {
  const isSupported = platform !== undefined && isAtLeast(api.version ?? "", INSPECT_PLATFORM);
  const query = isSupported ? { platform: parsePlatform(platform) } : {};
  const found = await unlessMissing(api.json("GET", `/images/${inPath(reference)}/json`, { query }));
  if (found === undefined) return undefined;
  const image = found as ImageInspect;
  const info: ImageInfo = {
    id: image.Id,
    names: (image.RepoTags ?? []).filter((name) => !name.includes("<none>")),
    diffIds: image.RootFS?.Layers ?? [],
    platform: formatPlatform({ os: image.Os, architecture: image.Architecture, variant: image.Variant }),
    size: image.Size ?? 0,
  };
  return platform === undefined || matchesPlatform(info.platform, platform) ? info : undefined;
}

/** Lists every `repository:tag` in the store, or those whose name matches one of `patterns`. */
export async function listReferences(api: DockerApi, patterns?: readonly string[]): Promise<string[]> {
  const request = patterns === undefined ? {} : { query: { filters: { reference: patterns } } };
  const images = (await api.json("GET", "/images/json", request)) as ImageSummary[];
  return images.flatMap(({ RepoTags }) => RepoTags ?? []).filter((reference) => !reference.includes("<none>"));
}

/** Lists the IDs of all images, including those without a name and the intermediate images of builds. */
export async function listImageIds(api: DockerApi): Promise<string[]> {
  const images = (await api.json("GET", "/images/json", { query: { all: true } })) as ImageSummary[];
  return [...new Set(images.map(({ Id }) => Id))];
}

/** Returns the ID of the newest image of a repository. */
export async function newestOf(api: DockerApi, repository: string): Promise<string | undefined> {
  const images = (await api.json("GET", "/images/json", named(repository))) as ImageSummary[];
  return images.toSorted((a, b) => b.Created - a.Created)[0]?.Id;
}

/** Returns the bytes of each build step, oldest first; the image's history lists the newest first. */
export async function stepSizes(api: DockerApi, reference: string): Promise<number[]> {
  const steps = (await api.json("GET", `/images/${inPath(reference)}/history`)) as { Size: number }[];
  return steps.map(({ Size }) => Size).toReversed();
}

/** Returns the bytes in the list of images; undefined when the image is not listed. */
export async function listedSize(api: DockerApi, reference: string): Promise<number | undefined> {
  const images = (await api.json("GET", "/images/json", named(reference))) as ImageSummary[];
  return images[0]?.Size;
}

/** Loads an archive. `takesGzip` is called only over a single connection, where the archive is compressed. */
export async function loadImage(
  api: DockerApi,
  archive: Readable,
  platform: string | undefined,
  takesGzip: () => Promise<boolean>,
): Promise<void> {
  const isSupported =
    platform !== undefined && isKnownPlatform(platform) && isAtLeast(api.version ?? "", LOAD_PLATFORM);
  // Progress lines show that the engine makes progress: a graph driver sends about ten a second.
  const query = { quiet: false, platform: isSupported ? parsePlatform(platform) : undefined };
  const { address } = api.endpoint;
  const isOnlyConnection = isOneStream(address);
  try {
    const sent = isOnlyConnection
      ? overOneStream(archive, await gzipLevelFor(address, takesGzip), api.signal)
      : archive;
    await followLoad(
      await api.stream("POST", "/images/load", { query, archive: sent, effect: "completes", timeout: "work" }),
    );
  } catch (error) {
    if (isOnlyConnection) api.signal?.throwIfAborted();
    throw archive.errored ?? error; // a failed archive closes the connection, whose error says less
  } finally {
    archive.destroy();
  }
}

/** Undefined: the default level. 0: no compression. */
async function gzipLevelFor(address: EngineAddress, takesGzip: () => Promise<boolean>): Promise<number | undefined> {
  const asked = address.protocol === "stream" ? address.gzipLevel : undefined;
  return asked === 0 || (await takesGzip()) ? asked : 0;
}

/**
 * Prepares an archive for an engine with one connection. After an abort, or an error of the archive, the body ends early, but correctly as
 * far as HTTP is concerned: the engine rejects the archive and cleans up. Closing the connection instead would interrupt the load (moby
 * #51623) and lose the only connection.
 */
function overOneStream(archive: Readable, level: number | undefined, signal: AbortSignal | undefined): Readable {
  return Readable.from(untilItBreaksOff(level === 0 ? archive : gzip(archive, level), signal), { objectMode: false });
}

/** The start of another gzip member (RFC 1952, 2.3.1), and no tar header: after it, an engine does not take the archive for complete. */
const BROKEN_OFF = Buffer.from([0x1f, 0x8b]);

async function* untilItBreaksOff(
  chunks: AsyncIterable<Buffer>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of chunks) {
      signal?.throwIfAborted();
      yield chunk;
    }
  } catch {
    yield BROKEN_OFF; // loadImage throws the error
  }
}

export async function saveImage(
  api: DockerApi,
  reference: string,
  { platform, signal }: { platform?: string; signal?: AbortSignal },
): Promise<Readable> {
  const isSupported =
    platform !== undefined && isKnownPlatform(platform) && isAtLeast(api.version ?? "", SAVE_PLATFORM);
  const query = { platform: isSupported ? parsePlatform(platform) : undefined };
  return Readable.from(
    await api.stream("GET", `/images/${inPath(reference)}/get`, { query, signal, timeout: "work" }),
    {
      objectMode: false,
    },
  );
}

export async function pullImage(
  api: DockerApi,
  reference: string,
  { credentials, platform, signal, onProgress }: TransferOptions,
): Promise<void> {
  const { repository, tag, digest, registry } = splitName(reference);
  // Without either the API pulls every tag of the repository: the default `latest` is the CLI's.
  if (tag === undefined && digest === undefined) throw new TypeError(`a pull needs a tag or a digest: ${reference}`);
  const body = await api.stream("POST", "/images/create", {
    query: { fromImage: repository, tag: digest ?? tag, platform },
    registryAuth: registryAuth(registry, credentials),
    signal,
    timeout: "work",
  });
  await followProgress(body, onProgress);
}

/** Engines before 28 (API 1.46) ignore a platform: they hold one platform of an image and push that. */
export async function pushImage(
  api: DockerApi,
  reference: string,
  { credentials, platform, signal, onProgress }: TransferOptions,
): Promise<void> {
  const { repository, tag, registry } = splitName(reference);
  if (tag === undefined) throw new TypeError(`a push needs a tag: ${reference}`);
  const isSupported =
    platform !== undefined && isKnownPlatform(platform) && isAtLeast(api.version ?? "", PUSH_PLATFORM);
  // Docker accepts a registry on its own machine without TLS by default; Podman needs this.
  const tlsVerify = OWN_MACHINE.test(registry) ? false : undefined;
  const body = await api.stream("POST", `/images/${repository}/push`, {
    query: { tag, platform: isSupported ? parsePlatform(platform) : undefined, tlsVerify },
    registryAuth: registryAuth(registry, credentials),
    signal,
    timeout: "work",
  });
  await followProgress(body, onProgress);
}

export async function tagImage(api: DockerApi, source: string, target: string): Promise<void> {
  const { repository, tag } = splitName(target);
  await api.json("POST", `/images/${inPath(source)}/tag`, { effect: "makes", query: { repo: repository, tag } });
}

/**
 * Removes a name. `noprune` keeps the image's parents: without it, removing the last name also removes untagged parents, which are the
 * build cache of the classic builder.
 */
export async function removeReference(api: DockerApi, reference: string): Promise<void> {
  await unlessMissing(
    api.json("DELETE", `/images/${inPath(reference)}`, { effect: "removes", query: { noprune: true } }),
  );
}

/** Removes every `repository@digest` of a repository, named with its host, that a graph driver has recorded. */
export async function removeDigestReferences(api: DockerApi, repository: string): Promise<void> {
  const listed = await api.json("GET", "/images/json", { effect: "removes", ...named(repository) });
  const digests = (listed as ImageSummary[]).flatMap(({ RepoDigests }) => RepoDigests ?? []);
  for (const digest of digests) {
    if (digest.startsWith(`${repository}@`)) await removeReference(api, digest);
  }
}

/** Resolves to undefined when the engine answers 404. */
async function unlessMissing(answer: Promise<unknown>): Promise<unknown> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof EngineError && error.status === 404) return undefined;
    throw error;
  }
}

/** Without credentials the header is still sent: without it, Docker 20.10 reads credentials from the request's body. */
function registryAuth(serveraddress: string, credentials: Credentials | undefined): object {
  return credentials === undefined ? {} : { ...credentials, serveraddress };
}
