import type { EngineProgress } from "../engine/engine-images.ts";
import type { LayerToStream } from "../image/docker/write-docker-archive.ts";
import type { Descriptor, ImageManifest } from "../image/manifest.ts";
import type { Digest } from "../image/digest.ts";
import type { Platform } from "../image/platform.ts";

/** A layer that the store has. */
export interface PresentLayer {
  kind: "present";
  diffId: Digest;
  /** Its blob in a containerd store or a layout, which the manifest must name. */
  blob?: Descriptor;
}

/** A verified layer in a file. */
export interface LayerFile {
  kind: "file";
  diffId: Digest;
  path: string;
  /** Bytes of the file. */
  size: number;
  /** Describes the file, plain or compressed. */
  blob: Descriptor;
}

/** A layer that a manifest can name. */
export type AvailableLayer = PresentLayer | LayerFile;

/** The layers of an image that a store has. */
export interface PresentLayers {
  /** The lowest layers of the image, bottom first: each is present on top of the one below. */
  lowest: PresentLayer[];
  /**
   * Other layers whose blobs are present, in any order, for example those of an image on a new base. They are unpacked again, but not sent.
   */
  others: PresentLayer[];
}

/** An image that is loaded while its missing layers arrive. */
export interface ImageToLoad<Layer> extends PresentLayers {
  platform: Platform;
  /** The diff IDs of all layers, bottom first. */
  diffIds: readonly Digest[];
  /** The layers that are not present, in any order, each once. */
  layers: AsyncIterable<Layer>;
  /** Returns the raw config. Called after the last layer. */
  config: () => Promise<Buffer>;
  /** The manifest to preserve, in a store that stores manifests. If undefined, the store composes a manifest. */
  manifest?: ImageManifest | undefined;
  /** Receives the lines of progress that the engine reports while it loads. */
  onProgress?: (progress: EngineProgress) => void;
  /** Ends the transfer of layers that are still arriving. Called when the load has failed. */
  cancel: () => void;
}

interface PresenceCheck {
  /**
   * Returns the layers of an image that are present.
   *
   * @param named the blobs of a manifest to preserve, one for each diff ID. In a containerd store, no other blob counts
   */
  present(diffIds: readonly Digest[], named?: readonly Descriptor[]): Promise<PresentLayers>;
}

/** A store that reads an archive only when it is complete. */
export interface StreamStore extends PresenceCheck {
  takes: "streams";
  /**
   * Loads an image under a temporary name, which the caller removes. An interrupted load leaves nothing behind. Returns the ID that the
   * image must have: the digest of its config, or of its manifest in a containerd store.
   */
  load(image: ImageToLoad<LayerToStream>, name: string): Promise<Digest>;
}

/** A store that unpacks each layer when it arrives. An archive for it must not be truncated. */
export interface FileStore extends PresenceCheck {
  takes: "files";
  /** Like `load` of {@link StreamStore}. A load that has begun is not interrupted (moby #51623: the next load could hang). */
  load(image: ImageToLoad<LayerFile>, name: string): Promise<Digest>;
}

/** The image store of an engine, as a target. */
export type TargetStore = StreamStore | FileStore;
