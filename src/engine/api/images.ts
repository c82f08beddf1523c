import { matchesPlatform, platformOf, type Platform } from "../../image/platform.ts";
import { isAtLeast } from "../compare-versions.ts";
import { EngineError } from "../engine-error.ts";
import type { ImageInfo, TaggedImage } from "../engine-images.ts";
import type { DockerApi } from "./docker-api.ts";
import { INSPECT_PLATFORM } from "./platform-query.ts";
import { inPath, splitName } from "./split-name.ts";

interface ImageInspect {
  Id: string;
  Os: string;
  Architecture: string;
  Variant?: string;
  Size?: number;
  /** RFC 3339, with fractions of a second */
  Created?: string;
  /** In the year 1 if the engine does not know the time. */
  Metadata?: { LastTagTime?: string };
  RepoTags?: string[] | null;
  RootFS?: { Layers?: string[] | null };
}

/** An image in a list of images. */
interface ImageSummary {
  Id: string;
  /** Seconds since the epoch. */
  Created: number;
  Size: number;
  RepoTags?: string[] | null;
  RepoDigests?: string[] | null;
}

/** Limits a list to the images with a name, which may have a tag. */
function named(reference: string) {
  return { query: { filters: { reference: [reference] } } };
}

/** Returns undefined if the image does not exist, or not for that platform. */
export async function inspectImage(
  api: DockerApi,
  reference: string,
  platform?: Platform,
): Promise<ImageInfo | undefined> {
  const isSupported = platform !== undefined && isAtLeast(api.version ?? "", INSPECT_PLATFORM);
  const query = isSupported ? { platform } : {};
  const found = await unlessMissing(api.json("GET", `/images/${inPath(reference)}/json`, { query }));
  if (found === undefined) return undefined;
  const image = found as ImageInspect;
  const lastTagged = Date.parse(image.Metadata?.LastTagTime ?? "");
  const created = Date.parse(image.Created ?? "");
  const info: ImageInfo = {
    id: image.Id,
    names: (image.RepoTags ?? []).filter((name) => !name.includes("<none>")),
    diffIds: image.RootFS?.Layers ?? [],
    platform: platformOf({ os: image.Os, architecture: image.Architecture, variant: image.Variant }),
    size: image.Size ?? 0,
    ...(lastTagged > 0 && { lastTagged }),
    ...(created > 0 && { created }),
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

/** Lists the names in a repository, each with its image. */
export async function listTagged(api: DockerApi, repository: string | undefined): Promise<TaggedImage[]> {
  const images = (await api.json(
    "GET",
    "/images/json",
    repository === undefined ? {} : named(repository),
  )) as ImageSummary[];
  return images.flatMap(({ Id: id, Created, RepoTags }) =>
    (RepoTags ?? []).filter((name) => !name.includes("<none>")).map((name) => ({ name, id, created: Created * 1000 })),
  );
}

/** Returns the bytes of all layers in the store. `type` (API 1.42, Docker 23) avoids the computation of other sizes. */
export async function layersSize(api: DockerApi): Promise<number | undefined> {
  const { LayersSize } = (await api.json("GET", "/system/df", { query: { type: "image" } })) as { LayersSize?: number };
  return LayersSize;
}

/** Returns the bytes of each build step, oldest first. The image's history has the reverse order. */
export async function stepSizes(api: DockerApi, reference: string): Promise<number[]> {
  const steps = (await api.json("GET", `/images/${inPath(reference)}/history`)) as { Size: number }[];
  return steps.map(({ Size }) => Size).toReversed();
}

/** Returns the bytes in the list of images; undefined if the image is not listed. */
export async function listedSize(api: DockerApi, reference: string): Promise<number | undefined> {
  const images = (await api.json("GET", "/images/json", named(reference))) as ImageSummary[];
  return images[0]?.Size;
}

export async function tagImage(api: DockerApi, source: string, target: string): Promise<void> {
  const { repository, tag } = splitName(target);
  await api.json("POST", `/images/${inPath(source)}/tag`, { effect: "creates", query: { repo: repository, tag } });
}

/**
 * Removes a name. `noprune` preserves the image's parents: without it, the removal of the last name also removes untagged parents, which
 * are the build cache of the classic builder.
 */
export async function removeReference(api: DockerApi, reference: string): Promise<void> {
  await unlessMissing(
    api.json("DELETE", `/images/${inPath(reference)}`, { effect: "removes", query: { noprune: true } }),
  );
}

/** Removes every `repository@digest` of a repository that a graph driver has recorded. The repository includes its host. */
export async function removeDigestReferences(api: DockerApi, repository: string): Promise<void> {
  const listed = await api.json("GET", "/images/json", { effect: "removes", ...named(repository) });
  const digests = (listed as ImageSummary[]).flatMap(({ RepoDigests }) => RepoDigests ?? []);
  for (const digest of digests) {
    if (digest.startsWith(`${repository}@`)) await removeReference(api, digest);
  }
}

/** Removes the untagged images with a label that no container uses. Returns the number of freed bytes. */
export async function removeUntagged(api: DockerApi, label: string): Promise<number> {
  const query = { filters: { dangling: ["true"], label: [label] } };
  return spaceReclaimed(await api.json("POST", "/images/prune", { query, timeout: "work" }));
}

/** Returns the freed bytes from the answer to a `prune` request; 0 if the engine does not count them. */
export function spaceReclaimed(answer: unknown): number {
  return (answer as { SpaceReclaimed?: number } | undefined)?.SpaceReclaimed ?? 0;
}

/** Resolves to undefined if the engine answers 404. */
async function unlessMissing(answer: Promise<unknown>): Promise<unknown> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof EngineError && error.status === 404) return undefined;
    throw error;
  }
}
