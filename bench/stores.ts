import type { EngineKind } from "../test/testbed/engine-packages.ts";

/** A pair of engines with the same kind of image store. */
export interface Store {
  name: string;
  near: EngineKind;
  far: EngineKind;
  /** The digests that the sending engine knows for layers that it has built. */
  knows: string;
}

export const STORES: Store[] = [
  { name: "containerd", near: "28.5-containerd", far: "26.1-containerd", knows: "the digest of every layer" },
  { name: "containerd29", near: "28.5-containerd", far: "29-containerd", knows: "the digest of every layer" },
  { name: "graphdriver", near: "20.10", far: "26.1", knows: "no digest of a layer that was only built here" },
];

/**
 * Returns the folders in the engine's data whose entries are its layers, blobs and images. Engines with equal listings have equal content.
 */
export function contentFolders(store: Store): string[] {
  const containerd = [
    "content.v1.content/blobs/sha256",
    "content.v1.content/ingest",
    "snapshotter.v1.overlayfs/snapshots",
  ];
  const overlay = ["overlay2", "image/overlay2/imagedb/content/sha256", "image/overlay2/layerdb/sha256"];
  return store.far.endsWith("-containerd")
    ? containerd.map((path) => `containerd/io.containerd.${path}`)
    : overlay.map((path) => `docker/${path}`);
}

/** The folder in which a graph driver records the digests from a push or pull. The engine reads it again each time. */
export const digestsFolder = "docker/image/overlay2/distribution";
