import type { EngineStore } from "../output/events.ts";

/**
 * The contents of an engine in the format that `docker-over-ssh list` prints: its layers as a tree, in which layers that images share occur
 * once, and its images as leaves. `docs/have.schema.json` is generated from these types.
 */
export interface HaveList {
  format: typeof HAVE_FORMAT;
  version: typeof HAVE_VERSION;
  /** The time at which the list was created: ISO 8601, UTC */
  listed: string;
  engine: ListedEngine;
  /** Each layer follows the layer below it. */
  layers: readonly ListedLayer[];
  /** The images with a name, the newest first if the engine reports their times. */
  images: readonly ListedImage[];
}

export const HAVE_FORMAT = "docker-over-ssh/have";
export const HAVE_VERSION = 1;

export interface ListedEngine {
  /** The version of Docker or Podman */
  version: string;
  /** The store, which determines how a layer is identified: in a containerd store by its diff ID, in others by all diff IDs up to it. */
  store: EngineStore;
  /** `os/arch[/variant]` */
  platform: string;
  /** Free bytes of the disk with the images. Omitted if that is not known, for example for an engine on another machine. */
  bytesFree?: number;
}

export interface ListedLayer {
  diffId: string;
  /** The index of the layer below. Omitted for the lowest layer of an image. */
  on?: number;
  /** An image contains the layer, but its blob no longer exists: the layer counts as missing. */
  absent?: true;
}

export interface ListedImage {
  /** References with a tag, at least one */
  names: readonly string[];
  /** `os/arch[/variant]` */
  platform: string;
  /** The index of its uppermost layer. Omitted for an image without layers. */
  top?: number;
}
