import type { Digest } from "../image/digest.ts";

/** The `covers` of a tar that is one of an image's layers, whatever folders were requested. */
export const WHOLE_LAYER = "/";

/** Present images in which pieces of the missing layers may be found. */
export interface DeltaBases extends AsyncDisposable {
  /** The most similar first. */
  images: readonly DeltaBaseImage[];
  /** Whether layers are read as blobs, or files from a container's archive, which is slower. */
  reads: "blobs" | "files";
}

export interface DeltaBaseImage {
  /** Returns a name of the image, or its ID, for messages; undefined when it has neither. */
  name?(): Promise<string | undefined>;
  /**
   * Opens the plain tar of the layer that is most similar to an incoming one (find-base-layer.ts); undefined when there is none, or the
   * store does not give layers as blobs. The caller reads it to its end, or closes its iterator.
   */
  baseLayer(diffId: Digest): Promise<AsyncIterable<Buffer> | undefined>;
  /**
   * Opens a tar of each of these folders that exists; where the store does not give single folders, a tar of each layer, with `covers`
   * {@link WHOLE_LAYER}. The caller reads each to its end, or closes its iterator. Fails with the errors of the store.
   */
  tars(folders: readonly string[]): AsyncGenerator<{ covers: string; tar: AsyncIterable<Buffer> }>;
}
