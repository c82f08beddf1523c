import { hexOf, type Digest } from "../digest.ts";
import { blobPath } from "../oci/oci-layout.ts";
import { parseV1Image, v1Ids, type V1Constants } from "./v1-ids.ts";

/** Tells by its path which layer a file is, while an archive passes whose manifest comes last. */
export interface LayerPaths {
  /** The diff ID; undefined when the path does not tell. */
  layerAt(path: string): Digest | undefined;
  /** Takes the content of a `<v1 id>/json`, which comes before the layer in the same folder. */
  addV1Image(path: string, content: Uint8Array): void;
  /** A manifest has said that a blob is this layer. */
  addBlob(blob: Digest, diffId: Digest): void;
}

/** Time zones and versions of one archive: one, unless somebody plays with it. Each costs a hash for each layer. */
const MAX_CONSTANTS = 4;
/** What Docker 1.10 to 24.0 writes in UTC: right most of the time, and then known before the first folder. */
const USUAL: V1Constants = {
  created: "1970-01-01T00:00:00Z",
  containerConfig: JSON.stringify({
    Hostname: "",
    Domainname: "",
    User: "",
    AttachStdin: false,
    AttachStdout: false,
    AttachStderr: false,
    Tty: false,
    OpenStdin: false,
    StdinOnce: false,
    Env: null,
    Cmd: null,
    Image: "",
    Volumes: null,
    WorkingDir: "",
    Entrypoint: null,
    OnBuild: null,
    Labels: null,
  }),
};

/**
 * For the layers `diffIds`, bottom first. Without `byDiffId`, only those count that are named: a containerd store saves blobs as
 * they are, named by digests that tell nothing else.
 */
export function layerPaths(diffIds: readonly Digest[], { byDiffId = true } = {}): LayerPaths {
  const byName = new Map<string, Digest>();
  const folders = v1Folders(byDiffId ? diffIds : []);
  for (const diffId of byDiffId ? diffIds : []) {
    byName.set(blobPath(diffId), diffId); // Docker 25 and later, graph driver: not packed
    byName.set(`${hexOf(diffId)}.tar`, diffId); // Podman
  }
  return {
    layerAt: (path) => byName.get(path) ?? folders.layerIn(path),
    addV1Image: (path, content) => folders.learn(path, content),
    addBlob(blob, diffId) {
      // What is named by its diff ID proves itself, whatever a manifest says.
      if (!byName.has(blobPath(blob))) byName.set(blobPath(blob), diffId);
    },
  };
}

/** The `<v1 id>` folders of Docker up to 24.0. */
function v1Folders(diffIds: readonly Digest[]) {
  const byId = new Map<string, Digest>();
  const tried = new Set<string>();
  let topId: string | undefined;
  const tryConstants = (constants: V1Constants): void => {
    const key = JSON.stringify(constants);
    if (tried.has(key) || tried.size === MAX_CONSTANTS) return;
    tried.add(key);
    for (const [index, id] of v1Ids(diffIds, constants).entries()) byId.set(id, diffIds[index] ?? "");
  };
  tryConstants(USUAL);
  return {
    layerIn(path: string): Digest | undefined {
      const id = /^([0-9a-f]{64})\/layer\.tar$/.exec(path)?.[1];
      if (id === undefined) return undefined;
      return id === topId ? diffIds.at(-1) : byId.get(id);
    },
    learn(path: string, content: Uint8Array): void {
      const id = path.split("/")[0] ?? "";
      const image = byId.has(id) ? undefined : parseV1Image(content);
      if (image === undefined) return;
      // The top layer's ID depends on the whole config as Go writes it. But only the top layer has properties.
      if (image.hasProperties) topId ??= id;
      else tryConstants(image.constants);
    },
  };
}
