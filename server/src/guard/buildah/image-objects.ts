import { familiarName, tryReference } from "docker-over-ssh/builds";
import type { ApiObject, ImageFilter } from "../backend.ts";
import { CONFIG } from "../images/shapes.ts";
import { Refusal } from "../refusal.ts";
import { findImage, type StoredImage } from "./stored-images.ts";

/** `app:v1` for `docker.io/library/app:v1` */
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

/** From the newest, as docker prints it. */
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

/** The images that a filter lets through, the newest first. */
export function filterImages(images: readonly StoredImage[], filter: ImageFilter, now: number): StoredImage[] {
  const createdOf = (given: string): number => {
    const image = findImage(images, given);
    if (image === undefined) throw new Refusal("image.unknown", `No such image: ${given}`, { statusCode: 404 });
    return Date.parse(image.created);
  };
  const before = filter.before.map(createdOf);
  const since = filter.since.map(createdOf);
  const until = filter.until.map((text) => timeOf(text, now));
  return images
    .filter((image) => {
      const created = Date.parse(image.created);
      return (
        before.every((time) => created < time) &&
        since.every((time) => created > time) &&
        until.every((time) => created < time) &&
        (filter.dangling === undefined || filter.dangling === (image.names.length === 0)) &&
        filter.labels.every((label) => hasLabel(image, label))
      );
    })
    .map((image) => ({ ...image, names: namesLike(image.names, filter.references) }))
    .filter(({ names }) => filter.references.length === 0 || names.length > 0)
    .toSorted((a, b) => Date.parse(b.created) - Date.parse(a.created));
}

function hasLabel({ config }: StoredImage, wanted: string): boolean {
  const labels = config.config?.Labels ?? {};
  const [key = "", ...value] = wanted.split("=");
  return Object.hasOwn(labels, key) && (value.length === 0 || labels[key] === value.join("="));
}

function namesLike(names: readonly string[], patterns: readonly string[]): readonly string[] {
  if (patterns.length === 0) return names;
  const all = patterns.map(globOf);
  return names.filter((name) => {
    const familiar = dockerName(name);
    const bare = familiar.slice(0, familiar.lastIndexOf(":"));
    return all.some((glob) => [familiar, bare, name].some((text) => glob.test(text)));
  });
}

/** Go's path.Match, without its classes of characters */
function globOf(pattern: string): RegExp {
  const parts = Array.from(pattern, (char) => {
    if (char === "*") return "[^/]*";
    if (char === "?") return "[^/]";
    return char.replaceAll(/[\\^$.|+()[\]{}/-]/g, "\\$&");
  });
  return new RegExp(`^${parts.join("")}$`);
}

const UNITS: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000 };

/** Reads a time as docker does: seconds since 1970, a date, or a duration before now. Returns ms since 1970. */
export function timeOf(text: string, now: number): number {
  if (/^\d+(?:\.\d+)?$/.test(text)) return Number(text) * 1000;
  if (/^(?:\d+(?:\.\d+)?[hms])+$/.test(text)) {
    const parts = text.matchAll(/(\d+(?:\.\d+)?)([hms])/g);
    return (
      now - Array.from(parts, ([, count, unit = ""]) => Number(count) * (UNITS[unit] ?? 0)).reduce((a, b) => a + b)
    );
  }
  const time = Date.parse(text);
  if (Number.isNaN(time)) throw new Refusal("filter.time", `"${text}" is not a time`, { statusCode: 400 });
  return time;
}
