import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { NODE_IMAGE } from "../../test/testbed/node-image.ts";
import type { Peer } from "./peer.ts";

export const ours = {
  name: "docker-over-ssh",
  ours: true,
  line: (image: string) => `docker-over-ssh push ${image} ssh far "docker-over-ssh pull ${image}"`,
} satisfies Peer;

/** Like {@link ours}, with each missing layer whole. */
export const oursWhole: Peer = {
  name: "docker-over-ssh --delta never",
  line: (image) => `docker-over-ssh push --no-delta ${image} ssh far "docker-over-ssh pull ${image}"`,
};

/** Like {@link ours}, with each missing layer by delta if possible. */
export const oursInPieces: Peer = {
  name: "docker-over-ssh --delta always",
  line: (image) => `docker-over-ssh push --delta always ${image} ssh far "docker-over-ssh pull ${image}"`,
};

/** With only Node and an engine installed on the remote machine. Its cache folder contains the bundle from the transfer of v1. */
export const oursToNode: Peer = {
  name: "docker-over-ssh --far node",
  line: (image, { nodeBin }) => `docker-over-ssh push --far node --far-path ${nodeBin} ${image} ssh://far`,
};

/** The same for the first transfer, which sends the bundle. */
export const oursToNodeFirst: Peer = { ...oursToNode, name: "docker-over-ssh --far node, first", isFirstContact: true };

/** With only an engine installed on the remote machine, which has an image with Node. The volume contains the bundle from the transfer of v1. */
export const oursToContainer: Peer = {
  name: "docker-over-ssh --far container",
  line: (image) => `docker-over-ssh push --far container --far-image ${NODE_IMAGE} ${image} ssh://far`,
};

/** The same for the first transfer, which sends the bundle. */
export const oursToContainerFirst: Peer = {
  ...oursToContainer,
  name: "docker-over-ssh --far container, first",
  isFirstContact: true,
};

/** With only an engine installed on the remote machine. */
export const oursToEngine: Peer = {
  name: "docker-over-ssh --far engine",
  line: (image) => `docker-over-ssh push --far engine ${image} ssh://far`,
};

/** The method of the tool of 2019 with today's code: a registry container, a tunnel, and a pull by the other engine. */
export const oursOf2019: Peer = {
  name: "registry container, --via pull",
  line: (image) =>
    `docker-over-ssh push --registry container ${image} ssh far "docker-over-ssh pull --via pull ${image}"`,
};

/** The build in another clone of this project, to compare with: an earlier commit. */
export function oursIn(folder: string): Peer {
  const peak = fileURLToPath(new URL("../peak.mjs", import.meta.url));
  const command = `'${process.execPath}' --import '${peak}' '${join(folder, "bin/docker-over-ssh.js")}'`;
  return {
    name: "docker-over-ssh, before",
    ours: true,
    line: (image) => `${command} push ${image} ssh far "${command} pull ${image}"`,
  };
}
