import { hexOf, type Digest } from "../digest.ts";
import { blobPath } from "../oci/oci-layout.ts";
import { v1Folders } from "./v1-folders.ts";

/** Identifies layers by their paths in a streamed archive, which names its layers at its end. */
export interface LayerPaths {
  /** Returns the diff ID of the layer at a path; undefined if the path identifies no layer. */
  layerAt(path: string): Digest | undefined;
  /** Adds a `<v1 id>/json`, which precedes the layer in the same folder. */
  addV1Image(path: string, content: Uint8Array): void;
  /** Adds a blob that a manifest names for a layer. */
  addBlob(blob: Digest, diffId: Digest): void;
}

/**
 * Identifies the layers `diffIds`, bottom first. Without `byDiffId`, only blobs that a manifest names count: a containerd store saves its
 * blobs unchanged, under digests that identify nothing else.
 */
export function layerPaths(diffIds: readonly Digest[], { byDiffId = true } = {}): LayerPaths {
  const byPath = new Map<string, Digest>();
  const folders = v1Folders(byDiffId ? diffIds : []);
  for (const diffId of byDiffId ? diffIds : []) {
    byPath.set(blobPath(diffId), diffId); // Docker 25 and later with a graph driver: uncompressed
    byPath.set(`${hexOf(diffId)}.tar`, diffId); // Podman
  }
  return {
    layerAt: (path) => byPath.get(path) ?? folders.layerAt(path),
    addV1Image: (path, content) => folders.addV1Image(path, content),
    addBlob(blob, diffId) {
      // A file whose name is a diff ID is verified by its name, even if a manifest contradicts it.
      if (!byPath.has(blobPath(blob))) byPath.set(blobPath(blob), diffId);
    },
  };
}
