import { Readable } from "node:stream";
import { isKnownPlatform, formatPlatform, matchesPlatform, parsePlatform } from "../../image/platform.ts";
import { gzip } from "../../streams/gzip.ts";
import { isAtLeast } from "./compare-versions.ts";
import type { DockerApi } from "./docker-api.ts";
import { isOneStream, type EngineAddress } from "../connect/endpoint.ts";
import type { Credentials, ImageInfo, TransferOptions } from "../engine-images.ts";
import { EngineError } from "../engine-error.ts";
import { inPath, splitName } from "./split-name.ts";
import { followLoad, followProgress } from "./follow-progress.ts";

/** API versions that learnt about one platform of an image (moby `docs/api/version-history.md`); run with Docker 28.5 and 29.7. */
const INSPECT_PLATFORM = "1.49";
const PUSH_PLATFORM = "1.46";
export const LOAD_PLATFORM = "1.48";
const SAVE_PLATFORM = "1.48";

/** A registry's host that is the engine's own machine. */
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

/** Of a list, the images of that name, with a tag or without. */
function named(reference: string) {
  return { query: { filters: { reference: [reference] } } };
}

/** Undefined when there is no such image, or not for that platform. */
export async function inspectImage(
  api: DockerApi,
  reference: string,
  platform?: string,
): Promise<ImageInfo | undefined> {
  const asks = platform !== undefined && isAtLeast(api.version ?? "", INSPECT_PLATFORM);
  const query = asks ? { platform: parsePlatform(platform) } : {};
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

/** Every `repository:tag` in the store, or those of which the name fits one of `patterns`. */
export async function listReferences(api: DockerApi, patterns?: readonly string[]): Promise<string[]> {
  const request = patterns === undefined ? {} : { query: { filters: { reference: patterns } } };
  const images = (await api.json("GET", "/images/json", request)) as ImageSummary[];
  return images.flatMap(({ RepoTags }) => RepoTags ?? []).filter((reference) => !reference.includes("<none>"));
}

/** IDs of all images, those without a name and the steps of builds included. */
export async function listImageIds(api: DockerApi): Promise<string[]> {
  const images = (await api.json("GET", "/images/json", { query: { all: true } })) as ImageSummary[];
  return [...new Set(images.map(({ Id }) => Id))];
}

/** ID of the youngest image of a repository. */
export async function newestOf(api: DockerApi, repository: string): Promise<string | undefined> {
  const images = (await api.json("GET", "/images/json", named(repository))) as ImageSummary[];
  return images.toSorted((a, b) => b.Created - a.Created)[0]?.Id;
}

/** From the image's history, newest first there. */
export async function stepSizes(api: DockerApi, reference: string): Promise<number[]> {
  const steps = (await api.json("GET", `/images/${inPath(reference)}/history`)) as { Size: number }[];
  return steps.map(({ Size }) => Size).toReversed();
}

/** Bytes; undefined when the list does not have it. */
export async function listedSize(api: DockerApi, reference: string): Promise<number | undefined> {
  const images = (await api.json("GET", "/images/json", named(reference))) as ImageSummary[];
  return images[0]?.Size;
}

/** `takesGzip` is asked where the archive goes over a wire. */
export async function loadImage(
  api: DockerApi,
  archive: Readable,
  platform: string | undefined,
  takesGzip: () => Promise<boolean>,
): Promise<void> {
  const asks = platform !== undefined && isKnownPlatform(platform) && isAtLeast(api.version ?? "", LOAD_PLATFORM);
  // What it says meanwhile shows that it gets on: a graph driver tells of each layer, some ten times a second.
  const query = { quiet: false, platform: asks ? parsePlatform(platform) : undefined };
  const { address } = api.endpoint;
  const alone = isOneStream(address);
  try {
    const sent = alone ? overOneStream(archive, await gzipLevelFor(address, takesGzip), api.signal) : archive;
    await followLoad(
      await api.stream("POST", "/images/load", { query, archive: sent, effect: "completes", patience: "work" }),
    );
  } catch (error) {
    if (alone) api.signal?.throwIfAborted();
    throw archive.errored ?? error; // an archive that cannot be read on ends the connection
  } finally {
    archive.destroy();
  }
}

/** Undefined: the usual one. 0: the archive stays plain. */
async function gzipLevelFor(address: EngineAddress, takesGzip: () => Promise<boolean>): Promise<number | undefined> {
  const asked = address.protocol === "stream" ? address.gzipLevel : undefined;
  return asked === 0 || (await takesGzip()) ? asked : 0;
}

/**
 * An archive for an engine with one connection. When we are told to stop, or the archive cannot be read on, it is cut short in
 * good order as far as HTTP goes: the engine refuses it and tidies up. To break the connection instead would interrupt the
 * load (moby #51623), and cost the only one there is.
 */
function overOneStream(archive: Readable, level: number | undefined, signal: AbortSignal | undefined): Readable {
  return Readable.from(untilItBreaksOff(level === 0 ? archive : gzip(archive, level), signal), { objectMode: false });
}

/** The beginning of a block of gzip (RFC 1952, 2.3.1), or of no tar header: nobody takes what came before for all there is. */
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
    yield BROKEN_OFF; // why, whoever loads it looks at
  }
}

export async function saveImage(
  api: DockerApi,
  reference: string,
  { platform, signal }: { platform?: string; signal?: AbortSignal },
): Promise<Readable> {
  const asks = platform !== undefined && isKnownPlatform(platform) && isAtLeast(api.version ?? "", SAVE_PLATFORM);
  const query = { platform: asks ? parsePlatform(platform) : undefined };
  return Readable.from(
    await api.stream("GET", `/images/${inPath(reference)}/get`, { query, signal, patience: "work" }),
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
  // Without either the API pulls every tag of the repository; the CLI is where `latest` comes from.
  if (tag === undefined && digest === undefined) throw new TypeError(`a pull needs a tag or a digest: ${reference}`);
  const body = await api.stream("POST", "/images/create", {
    query: { fromImage: repository, tag: digest ?? tag, platform },
    registryAuth: registryAuth(registry, credentials),
    signal,
    patience: "work",
  });
  await followProgress(body, onProgress);
}

/** A platform is ignored by engines before 28 (API 1.46): they hold one platform of an image, and push what they have. */
export async function pushImage(
  api: DockerApi,
  reference: string,
  { credentials, platform, signal, onProgress }: TransferOptions,
): Promise<void> {
  const { repository, tag, registry } = splitName(reference);
  if (tag === undefined) throw new TypeError(`a push needs a tag: ${reference}`);
  const asks = platform !== undefined && isKnownPlatform(platform) && isAtLeast(api.version ?? "", PUSH_PLATFORM);
  // Docker takes a registry of its own machine without TLS, whatever it is told; Podman only when it is told so.
  const tlsVerify = OWN_MACHINE.test(registry) ? false : undefined;
  const body = await api.stream("POST", `/images/${repository}/push`, {
    query: { tag, platform: asks ? parsePlatform(platform) : undefined, tlsVerify },
    registryAuth: registryAuth(registry, credentials),
    signal,
    patience: "work",
  });
  await followProgress(body, onProgress);
}

export async function tagImage(api: DockerApi, source: string, target: string): Promise<void> {
  const { repository, tag } = splitName(target);
  await api.json("POST", `/images/${inPath(source)}/tag`, { effect: "makes", query: { repo: repository, tag } });
}

/**
 * `noprune` keeps what is below: without it, an image that goes with its last name takes its untagged parents along,
 * which are the build cache of the classic builder.
 */
export async function removeReference(api: DockerApi, reference: string): Promise<void> {
  await unlessMissing(
    api.json("DELETE", `/images/${inPath(reference)}`, { effect: "removes", query: { noprune: true } }),
  );
}

/** Removes what a graph driver has noted as `repository@digest`; `repository` with its host. */
export async function removeDigestReferences(api: DockerApi, repository: string): Promise<void> {
  const listed = await api.json("GET", "/images/json", { effect: "removes", ...named(repository) });
  const digests = (listed as ImageSummary[]).flatMap(({ RepoDigests }) => RepoDigests ?? []);
  for (const digest of digests) {
    if (digest.startsWith(`${repository}@`)) await removeReference(api, digest);
  }
}

/** Undefined when the engine answers 404. */
async function unlessMissing(answer: Promise<unknown>): Promise<unknown> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof EngineError && error.status === 404) return undefined;
    throw error;
  }
}

/** The header has to be there even when it says nothing: Docker 20.10 reads the request's body for credentials when it is not. */
function registryAuth(serveraddress: string, credentials: Credentials | undefined): object {
  return credentials === undefined ? {} : { ...credentials, serveraddress };
}
