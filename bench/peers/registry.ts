import type { Stage } from "../stage.ts";
import type { Peer } from "./peer.ts";

/** Of the far machine, which has a network of its own. */
const FAR_PORT = 5001;

/** A registry that is kept beside the sending engine, and has what was pushed to it before. */
export const registryPull: Peer = {
  name: "docker push, ssh -R, docker pull",
  line: (image, stage) => {
    const there = inRegistry(image, stage);
    return `docker tag ${image} ${there} && docker push -q ${there} && ${pullThroughSsh(image, stage)}`;
  },
};

/** skopeo takes the image out of the engine in docker's place, and knows from its own notes which layers the registry has. */
export const skopeo: Peer = {
  name: "skopeo copy, ssh -R, docker pull",
  line: (image, stage) => {
    const from = `--src-daemon-host ${stage.bed.near.host} docker-daemon:${image}`;
    const to = `--dest-tls-verify=false docker://${inRegistry(image, stage)}`;
    // Its notes are in /var/lib/containers, whatever it is told: there it gets a folder of its own.
    const copy = `mount --bind ${stage.skopeoMemory} /var/lib && ${stage.skopeo} --insecure-policy copy -q ${from} ${to}`;
    return `unshare --mount sh -ec '${copy}' && ${pullThroughSsh(image, stage)}`;
  },
};

function inRegistry(image: string, { registry }: Stage): string {
  return `127.0.0.1:${registry.port}/${image}`;
}

function pullThroughSsh(image: string, { registry }: Stage): string {
  const there = `127.0.0.1:${FAR_PORT}/${image}`;
  const forward = `-o ExitOnForwardFailure=yes -R 127.0.0.1:${FAR_PORT}:127.0.0.1:${registry.port}`;
  return `ssh ${forward} far "docker pull -q ${there} && docker tag ${there} ${image}"`;
}
