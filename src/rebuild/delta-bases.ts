import type { Digest } from "../image/digest.ts";

/** The value of `covers` for a tar that is a complete layer, whatever folders were requested. */
export const WHOLE_LAYER = "/";

/** Present images that may contain pieces of the missing layers. */
export interface DeltaBases extends AsyncDisposable {
  /** The most similar image first. */
  images: readonly DeltaBaseImage[];
  /** How the images are read: layers as blobs, or files from a container's archive, which is slower. */
  reads: "blobs" | "files";
}

export interface DeltaBaseImage {
  /** Returns a name of the image, or its ID, for messages; undefined if it has neither. */
  name?(): Promise<string | undefined>;
  /**
   * Opens the plain tar of the layer that is most similar to an incoming layer (find-base-layer.ts). Returns undefined if there is none, or
   * if the store does not provide layers as blobs. The caller reads the tar to its end, or closes its iterator.
   */
  baseLayer(diffId: Digest): Promise<AsyncIterable<Buffer> | undefined>;
  /**
   * Opens a tar of each of these folders that exists. If the store does not provide single folders, opens a tar of each layer, with
   * `covers` {@link WHOLE_LAYER}. The caller reads each tar to its end, or closes its iterator. Fails with the errors of the store.
   */
  tars(folders: readonly string[]): AsyncGenerator<{ covers: string; tar: AsyncIterable<Buffer> }>;
}
