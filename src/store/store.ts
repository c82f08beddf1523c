import type { Descriptor } from "../image/manifest.ts";
import type { Digest } from "../image/digest.ts";

/** A layer that the store has already, on exactly the layers below it. */
export interface LayerHere {
  kind: "here";
  diffId: Digest;
  /** The blob that the store keeps it as; on a containerd store, where a manifest must name it. */
  blob?: Descriptor;
}

/** A layer that has arrived in a file, and has been proven to be what it should be. */
export interface LayerFile {
  kind: "file";
  diffId: Digest;
  path: string;
  /** Of the file as it is: digest, size in bytes, media type (plain or compressed). */
  blob: Descriptor;
}

export type LayerInHand = LayerHere | LayerFile;

/** An image whose parts are all here, in the store or in files. */
export interface Delivery {
  /** The config, byte for byte. */
  config: Buffer;
  platform: string;
  /** Bottom first: one for each diff ID of the config. */
  layers: LayerInHand[];
}

/** A place that images can be put into. */
export interface TargetStore {
  /** For messages and --verbose. */
  readonly description: string;
  /**
   * Which of an image's layers are there: the lowest ones, bottom first, as many as can be proven.
   */
  present(diffIds: readonly Digest[]): Promise<LayerHere[]>;
  /**
   * Puts an image in, under one temporary name that is the caller's to remove. Not interrupted once it has begun
   * (moby #51623: an interrupted load can hang the next one).
   */
  load(delivery: Delivery, name: string): Promise<void>;
}
