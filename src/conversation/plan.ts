import { STORES, type PlannedBytes, type PlannedLayer, type PlannedRoom, type StoreName } from "../output/events.ts";
import { formatPlatform } from "../image/platform.ts";
import { DIGEST, list, malformed, matching, platformIn, sizeIn, text } from "./fields.ts";

/** The effect of a transfer that the receiver of a dry run has determined. Part of its `result`. */
export interface ImagePlan {
  /** Each layer of the image, bottom first. */
  layers: PlannedLayer[];
  /** The rate of the link in bytes a second; undefined if it was not measured. */
  bytesPerSecond?: number;
  /** Bytes with which a transfer would measure the link; undefined for none. */
  bytesProbed?: number;
  /** `os/arch[/variant]` */
  platform: string;
  /** The platforms of an image that is transferred with its index, if there are several. */
  platforms?: string[];
  store: StoreName;
  /** The disks that need room. */
  room: PlannedRoom[];
}

const WAYS = ["present", "by-delta", "whole"] as const;
const DISKS = ["engine", "cache", "target"] as const;

/** Parses a plan, which is untrusted input. Throws a Failure for a malformed plan. */
export function parsePlan(value: unknown): ImagePlan {
  const { layers, bytesPerSecond, bytesProbed, platform, platforms, store, room } = object(value);
  return {
    platform: formatPlatform(platformIn(platform)),
    ...(platforms !== undefined && { platforms: list(platforms).map((one) => formatPlatform(platformIn(one))) }),
    layers: list(layers).map(parseLayer),
    ...(bytesPerSecond !== undefined && { bytesPerSecond: sizeIn(bytesPerSecond) }),
    ...(bytesProbed !== undefined && { bytesProbed: sizeIn(bytesProbed) }),
    store: oneOf(store, STORES),
    room: list(room).map(parseRoom),
  };
}

function parseLayer(value: unknown): PlannedLayer {
  const { diffId, way, bytes, deltaBase } = object(value);
  return {
    diffId: matching(diffId, DIGEST),
    way: oneOf(way, WAYS),
    ...(bytes !== undefined && { bytes: parseBytes(bytes) }),
    ...(deltaBase !== undefined && { deltaBase: text(deltaBase) }),
  };
}

function parseBytes(value: unknown): PlannedBytes {
  const { count, isExact } = object(value);
  return { count: sizeIn(count), isExact: isExact === true };
}

function parseRoom(value: unknown): PlannedRoom {
  const { disk, needed, free } = object(value);
  return {
    disk: oneOf(disk, DISKS),
    ...(needed !== undefined && { needed: sizeIn(needed) }),
    ...(free !== undefined && { free: sizeIn(free) }),
  };
}

function object(value: unknown): Record<string, unknown> {
  if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  throw malformed("plan");
}

function oneOf<T extends string>(value: unknown, all: readonly T[]): T {
  const found = all.find((one) => one === value);
  if (found === undefined) throw malformed("plan");
  return found;
}
