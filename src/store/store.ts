import type { LayerToStream } from "../image/docker/write-docker-archive.ts";
import type { Descriptor, ImageManifest } from "../image/manifest.ts";
import type { Digest } from "../image/digest.ts";

/** A layer that the store has already: on exactly the layers below it, if nothing else is said. */
export interface PresentLayer {
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
  /** Bytes of the file. */
  size: number;
  /** Of the file as it is: digest, size in bytes, media type (plain or compressed). */
  blob: Descriptor;
}

export type AvailableLayer = PresentLayer | LayerFile;

/** What a store has of an image. */
export interface PresentLayers {
  /** The lowest layers, bottom first, as many as can be proven. */
  here: PresentLayer[];
  /**
   * Others, in any order, that are not on that stack, as they are below an image on a new base: they need not come, and are unpacked
   * once more.
   */
  stored: PresentLayer[];
}

/** An image of which layers are still coming. */
export interface ImageToLoad<Layer> extends PresentLayers {
  platform: string;
  /** All of the image, bottom first. */
  diffIds: readonly Digest[];
  /** All that are not present, in any order, each once. */
  layers: AsyncIterable<Layer>;
  /** Byte for byte. Asked for when all layers have come. */
  config: () => Promise<Buffer>;
  /** The image's own, which the store is to have as it is, if it has any. Left out: one of these layers, whichever. */
  manifest?: ImageManifest | undefined;
  /** The store wants no more of it: layers that are on their way break off. */
  abandon: () => void;
}

interface Presence {
  /**
   * Which of an image's layers are there. `named`: the blobs, one for each diff ID, that a manifest to be kept names: where the
   * store goes by manifests, a layer is there only as that blob.
   */
  present(diffIds: readonly Digest[], named?: readonly Descriptor[]): Promise<PresentLayers>;
}

/** A store that looks at an archive when all of it is there. */
export interface StreamStore extends Presence {
  takes: "streams";
  /**
   * Puts an image in, under one temporary name that is the caller's to remove. What breaks off leaves nothing. Resolves to the ID
   * that the store must know it by: the digest of its config, or of the manifest where the store goes by manifests.
   */
  load(delivery: ImageToLoad<LayerToStream>, name: string): Promise<Digest>;
}

/** A store that takes in each layer as it comes: it must be given nothing that could break off. */
export interface FileStore extends Presence {
  takes: "files";
  /** As a {@link StreamStore} does. What the engine has begun to load is not interrupted (moby #51623: that can hang the next load). */
  load(delivery: ImageToLoad<LayerFile>, name: string): Promise<Digest>;
}

/** An engine's store as a place that images can be put into. */
export type TargetStore = StreamStore | FileStore;
