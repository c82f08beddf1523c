import type { Digest } from "../image/digest.ts";
import type { Descriptor } from "../image/manifest.ts";
import type { PresentLayers } from "./store.ts";

/** The parts of an image, other than layers, that an engine has. */
export interface KnownImage {
  /** The ID of the image, whatever its name. */
  id?: Digest | undefined;
  /** The raw config, which may be present without the image. */
  config?: Buffer | undefined;
}

/**
 * The blobs of a containerd store, in which an unpacked layer may lack its blob, and a present blob may not be unpacked.
 * choose-containerd-blobs.ts chooses an implementation.
 */
export interface ContainerdBlobs {
  /**
   * Returns the layers of an image whose blobs are present. Only these layers may be omitted from an archive.
   *
   * @param named the blobs of a manifest to preserve, one for each diff ID; no other blobs count
   */
  present(diffIds: readonly Digest[], named?: readonly Descriptor[]): Promise<PresentLayers>;
  /** Returns the image with this config and these layers, or only its config; an empty object if neither is known to be present. */
  known(config: Digest, diffIds: readonly Digest[]): Promise<KnownImage>;
  /**
   * Opens the plain, unverified tar of a layer; undefined if its blob is not available. The caller reads the tar to its end or closes it.
   */
  layerOf(image: { id: string; diffIds: readonly Digest[] }, index: number): Promise<AsyncIterable<Buffer> | undefined>;
}
