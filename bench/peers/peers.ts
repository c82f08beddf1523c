import {
  ours,
  oursInPieces,
  oursOf2019,
  oursToContainer,
  oursToContainerFirst,
  oursToEngine,
  oursToNode,
  oursToNodeFirst,
  oursWhole,
} from "./ours.ts";
import type { Peer } from "./peer.ts";
import { gzipPipe, plainPipe, zstdPipe } from "./pipe.ts";
import { pushToRemote, registryPull, skopeo } from "./registry.ts";

/** The peers by their value of `--peer`, in the order of the tables and the picture. */
export const PEERS: Record<string, Peer> = {
  ours,
  always: oursInPieces,
  never: oursWhole,
  node: oursToNode,
  "node-first": oursToNodeFirst,
  "node-in-container": oursToContainer,
  "node-in-container-first": oursToContainerFirst,
  engine: oursToEngine,
  pipe: plainPipe,
  zstd: zstdPipe,
  gzip: gzipPipe,
  registry: registryPull,
  unregistry: pushToRemote,
  container: oursOf2019,
  skopeo,
  podman: {
    name: "podman image scp",
    line: () => "",
    whyNot: "not run: it copies from Podman's own store to Podman's own store, and these engines are Docker's",
  },
};
