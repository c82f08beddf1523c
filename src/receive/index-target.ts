import type { Digest } from "../image/digest.ts";
import type { IndexContent } from "../image/index-content.ts";
import type { Descriptor } from "../image/manifest.ts";
import type { BlobFile } from "../image/oci/oci-layout.ts";
import type { StoreName } from "../output/events.ts";
import type { PlannedImages } from "./planned-images.ts";
import type { ReceiveOptions } from "./receive-options.ts";
import type { DiskSpace } from "./free-space.ts";

/** Stores an image with its index in a target, byte for byte. receive-index.ts receives the image. */
export interface IndexTarget {
  store: StoreName;
  /** The images that a dry run has planned so far. Undefined if each image is stored separately. */
  planned?: PlannedImages;
  /** Returns the blobs that are completely present. */
  present(blobs: readonly Descriptor[], options: ReceiveOptions): Promise<ReadonlySet<Digest>>;
  /** Returns the disks that need space for these blobs. */
  space(options: ReceiveOptions, wanted: readonly Digest[]): Promise<DiskSpace[]>;
  /**
   * Stores an image under a temporary name: its root, its manifests, and these blobs. All other blobs are present. The files may be moved;
   * otherwise they stay until the result is disposed of.
   */
  put(index: IndexContent, files: readonly BlobFile[], options: ReceiveOptions): Promise<StoredIndex>;
  /** Returns the digest of the root that has a name, temporary or not; undefined unless the whole image is present. */
  digestOf(name: string, index: IndexContent): Promise<Digest | undefined>;
}

/** An image under a temporary name. Disposing removes the name. */
export interface StoredIndex extends AsyncDisposable {
  name: string;
}
