import type { Peer } from "./peer.ts";

export const plainPipe: Peer = {
  name: "save | load",
  line: (image) => `docker save ${image} | ssh far "docker load -q"`,
};

export const zstdPipe: Peer = {
  name: "save | zstd | load",
  line: (image) => `docker save ${image} | zstd -q -T0 -3 | ssh far "zstd -q -d | docker load -q"`,
};

export const gzipPipe: Peer = {
  name: "save | gzip | load",
  line: (image) => `docker save ${image} | gzip | ssh far "gzip -d | docker load -q"`,
};
