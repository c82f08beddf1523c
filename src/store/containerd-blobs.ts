import type { Digest } from "../image/digest.ts";
import type { Descriptor } from "../image/manifest.ts";
import type { PresentLayers } from "./store.ts";

/** What an engine has of an image beside its layers. */
export interface KnownImage {
  /** The image itself, whatever it is called. */
  id?: Digest | undefined;
  /** Its config, which may be there without such an image. */
  config?: Buffer | undefined;
}

/**
 * What there is to know of the blobs of a containerd store, in which a layer can be unpacked without its blob, and a blob be there that
 * is not unpacked. choose-containerd-blobs.ts chooses how the engine is asked.
 */
export interface ContainerdBlobs {
  /**
   * Which of an image's layers are there as blobs: only such may be left out of what is loaded. `named`: the blobs that will do,
   * one for each diff ID, where the image's manifest is to be kept.
   */
  present(diffIds: readonly Digest[], named?: readonly Descriptor[]): Promise<PresentLayers>;
  /** What is there of an image with this config, and these layers in their order. Nothing where that cannot be told. */
  known(config: Digest, diffIds: readonly Digest[]): Promise<KnownImage>;
  /** The plain tar of one of an image's layers, unproven; undefined where its blob cannot be had. Read to its end, or left. */
  layerOf(image: { id: string; diffIds: readonly Digest[] }, index: number): Promise<AsyncIterable<Buffer> | undefined>;
}
