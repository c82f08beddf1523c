import type { Peer } from "./peer.ts";

export const ours = {
  name: "docker-over-ssh",
  ours: true,
  line: (image: string) => `docker-over-ssh push ${image} ssh far "docker-over-ssh pull ${image}"`,
} satisfies Peer;

/** What this tool was in 2019, with today's code: a registry container, a tunnel, and the other engine's own pull. */
export const oursOf2019: Peer = {
  name: "registry container, --via pull",
  line: (image) =>
    `docker-over-ssh push --registry container ${image} ssh far "docker-over-ssh pull --via pull ${image}"`,
};
