import type { StoreName } from "../output/events.ts";

/**
 * What an engine has, as `docker-over-ssh list` prints it: its layers as a tree, so that layers which images share are there once, and its
 * images as leaves. `docs/have.schema.json` is made of these types.
 */
export interface HaveList {
  format: typeof HAVE_FORMAT;
  version: typeof HAVE_VERSION;
  /** When the list was made: ISO 8601, UTC */
  listed: string;
  engine: ListedEngine;
  /** Each layer stands behind the one below it. */
  layers: readonly ListedLayer[];
  /** The images with a name, the newest first where the engine tells. */
  images: readonly ListedImage[];
}

export const HAVE_FORMAT = "docker-over-ssh/have";
export const HAVE_VERSION = 1;

export interface ListedEngine {
  /** Of Docker or Podman */
  version: string;
  /** How it identifies a layer: a containerd store by its diff ID, the others by all diff IDs up to it. */
  store: Extract<StoreName, "graphdriver" | "containerd" | "podman">;
  /** `os/arch[/variant]` */
  platform: string;
  /** Free bytes of the disk with the images; left out where that is not known, as for an engine on another machine. */
  bytesFree?: number;
}

export interface ListedLayer {
  diffId: string;
  /** Index of the layer below; left out for the lowest one of an image. */
  on?: number;
  /** An image is made of it, but its blob is gone: it counts as missing. */
  absent?: true;
}

export interface ListedImage {
  /** References with a tag, at least one */
  names: readonly string[];
  /** `os/arch[/variant]` */
  platform: string;
  /** Index of its uppermost layer; left out for an image without layers. */
  top?: number;
}
