import type { Digest } from "../digest.ts";
import { parseV1Image, v1Ids, type V1Constants } from "./v1-ids.ts";

/** Sets of constants (time zone, Docker version) to try for one archive. Real archives have one. Each set costs a hash for each layer. */
const MAX_CONSTANTS = 4;
/**
 * The constants of Docker 1.10 to 24.0 in UTC. They are usually right, in which case the layers are known before the first folder arrives.
 */
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

/** Identifies layers by the `<v1 id>` folders that Docker up to 24.0 writes. */
export interface V1Folders {
  /** Returns the diff ID of the layer at `<v1 id>/layer.tar`; undefined for other paths and unknown IDs. */
  layerAt(path: string): Digest | undefined;
  /** Adds a `<v1 id>/json`. */
  addV1Image(path: string, content: Uint8Array): void;
}

/** @param diffIds the image's layers, bottom first */
export function v1Folders(diffIds: readonly Digest[]): V1Folders {
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
    layerAt(path) {
      const id = /^([0-9a-f]{64})\/layer\.tar$/.exec(path)?.[1];
      if (id === undefined) return undefined;
      return id === topId ? diffIds.at(-1) : byId.get(id);
    },
    addV1Image(path, content) {
      const id = path.split("/")[0] ?? "";
      const image = byId.has(id) ? undefined : parseV1Image(content);
      if (image === undefined) return;
      // The top layer's ID depends on the whole config as Go writes it, but only the top layer has properties.
      if (image.hasProperties) topId ??= id;
      else tryConstants(image.constants);
    },
  };
}
