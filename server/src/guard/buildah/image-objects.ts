import { familiarName, tryReference } from "docker-over-ssh/builds";
import type { ApiObject, ImageFilter } from "../backend.ts";
import { labelTest, referenceTest } from "../images/image-filters.ts";
import { CONFIG } from "../images/visible-properties.ts";
import { readTime } from "../images/times.ts";
import { noSuchImage } from "../refusal.ts";
import { findImage, type StoredImage } from "./stored-images.ts";

/** Returns docker's short form of a name: `app:v1` for `docker.io/library/app:v1`. */
export function dockerName(name: string): string {
  const reference = tryReference(name);
  return reference === undefined ? name : `${familiarName(reference)}:${reference.tag ?? "latest"}`;
}

export function summaryOf({ id, names, created, config, size }: StoredImage): ApiObject {
  return {
    Id: id,
    ParentId: "",
    RepoTags: names.map(dockerName),
    RepoDigests: [],
    Created: Math.floor(Date.parse(created) / 1000),
    Size: size,
    VirtualSize: size,
    SharedSize: -1,
    Labels: config.config?.Labels ?? {},
    Containers: -1,
  };
}

export function inspectionOf({ id, names, created, config, size }: StoredImage, driver: string): ApiObject {
  const known = config.config ?? {};
  return {
    Id: id,
    RepoTags: names.map(dockerName),
    RepoDigests: [],
    Parent: "",
    Comment: "",
    Created: created,
    DockerVersion: "",
    Author: config.author ?? "",
    Config: Object.fromEntries(CONFIG.flatMap((key) => (key in known ? [[key, known[key]]] : []))),
    Architecture: config.architecture ?? "",
    ...(config.variant && { Variant: config.variant }),
    Os: config.os ?? "linux",
    Size: size,
    VirtualSize: size,
    GraphDriver: { Name: driver, Data: null },
    RootFS: { Type: "layers", Layers: config.rootfs?.diff_ids ?? [] },
    Metadata: { LastTagTime: "0001-01-01T00:00:00Z" },
  };
}

/** Returns the history of an image in docker's order, the newest step first. */
export function historyOf({ id, names, config, layers }: StoredImage): ApiObject[] {
  const sizes = [...layers];
  const lines = (config.history ?? []).map((entry) => ({
    Id: "<missing>",
    Created: Math.floor(Date.parse(entry.created ?? "") / 1000) || 0,
    CreatedBy: entry.created_by ?? "",
    Tags: null as string[] | null,
    Size: entry.empty_layer === true ? 0 : (sizes.shift() ?? 0),
    Comment: entry.comment ?? "",
  }));
  const last = lines.at(-1);
  if (last !== undefined) Object.assign(last, { Id: id, Tags: names.map(dockerName) });
  return lines.toReversed();
}

/** Returns the images that match a filter, the newest first. */
export function filterImages(images: readonly StoredImage[], filter: ImageFilter, now: number): StoredImage[] {
  const createdOf = (given: string): number => {
    const image = findImage(images, given);
    if (image === undefined) throw noSuchImage(given);
    return Date.parse(image.created);
  };
  const before = filter.before.map(createdOf);
  const since = filter.since.map(createdOf);
  const until = filter.until.map((text) => readTime(text, now));
  const isListed = referenceTest(filter);
  const hasLabels = labelTest(filter.labels);
  return images
    .filter((image) => {
      const created = Date.parse(image.created);
      return (
        before.every((time) => created < time) &&
        since.every((time) => created > time) &&
        until.every((time) => created < time) &&
        (filter.dangling === undefined || filter.dangling === (image.names.length === 0)) &&
        hasLabels(image.config.config?.Labels ?? {})
      );
    })
    .map((image) => ({ ...image, names: image.names.filter((name) => isListed(dockerName(name))) }))
    .filter(({ names }) => filter.references.length === 0 || names.length > 0)
    .toSorted((a, b) => Date.parse(b.created) - Date.parse(a.created));
}
