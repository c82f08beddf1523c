import type { Digest } from "../image/digest.ts";
import type { IndexContent } from "../image/index-content.ts";
import type { Descriptor } from "../image/manifest.ts";
import type { BlobFile } from "../image/oci/oci-layout.ts";
import type { StoreName } from "../output/events.ts";
import type { PlannedImages } from "./planned-images.ts";
import type { ReceiveOptions } from "./receive-options.ts";
import type { Room } from "./free-space.ts";

/** How a target stores an image with its index, byte for byte. receive-index.ts receives it. */
export interface IndexTarget {
  store: StoreName;
  /** What a dry run has planned so far; left out where each image is stored by itself. */
  planned?: PlannedImages;
  /** Returns those of the blobs that are there, whole. */
  present(blobs: readonly Descriptor[], options: ReceiveOptions): Promise<ReadonlySet<Digest>>;
  /** Returns the disks that need room for these blobs. */
  room(options: ReceiveOptions, wanted: readonly Digest[]): Promise<Room[]>;
  /**
   * Stores an image under a temporary name: its root, its manifests, and these blobs; all others are present. The files may be moved; otherwise they
   * stay until the result is disposed of.
   */
  put(index: IndexContent, files: readonly BlobFile[], options: ReceiveOptions): Promise<StoredIndex>;
  /** Returns the digest of the root that a name, temporary or not, leads to; undefined unless all of the image is there. */
  digestOf(name: string, index: IndexContent): Promise<Digest | undefined>;
}

/** An image under a temporary name, which disposal removes. */
export interface StoredIndex extends AsyncDisposable {
  name: string;
}
