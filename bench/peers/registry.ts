import { join } from "node:path";
import type { Stage } from "../stage.ts";
import type { Peer } from "./peer.ts";

/** The end of a forwarding, on the far machine or on this one; each has a network of its own. */
const FAR_PORT = 5001;

/** A registry that is kept beside the sending engine, and has what was pushed to it before. */
export const registryPull = {
  name: "docker push, ssh -R, docker pull",
  line: (image: string, stage: Pick<Stage, "bed" | "registry">): string => {
    const there = inRegistry(image, stage);
    return `docker tag ${image} ${there}\ndocker push -q ${there}\n${pullThroughSsh(image, stage)}`;
  },
} satisfies Peer;

/**
 * What unregistry does: `docker push` through ssh to a registry on the far machine, which has what was pushed to it before. Its own writes
 * into the far engine's containerd; this one keeps a copy, which the engine pulls.
 */
export const pushToRemote: Peer = {
  name: "ssh -L, docker push, docker pull there",
  line: (image, { farRegistry, bed }) => {
    const here = `127.0.0.1:${FAR_PORT}/${image}`;
    const there = `127.0.0.1:${farRegistry.port}/${image}`;
    const ssh = `ssh -S ${bed.folder}/registry.ssh`;
    const forward = `-o ExitOnForwardFailure=yes -L 127.0.0.1:${FAR_PORT}:127.0.0.1:${farRegistry.port}`;
    return `${ssh} -M -N ${forward} far & trap "kill $!" EXIT
until ${ssh} -O check far 2>/dev/null; do kill -0 $!; sleep 0.02; done
docker tag ${image} ${here}
docker push -q ${here}
${ssh} far "docker pull -q ${there} && docker tag ${there} ${image}"`;
  },
};

/**
 * skopeo packs the image in docker's place, and knows from its own notes which layers the registry has. It gets what
 * `docker save` writes: the API version that its docker-daemon: asks for (1.22) is too old for Docker 25 and later. In a file, because it reads the archive more than once.
 */
export const skopeo: Peer = {
  name: "docker save, skopeo copy, ssh -R, docker pull",
  line: (image, stage) => {
    const to = `--dest-tls-verify=false docker://${inRegistry(image, stage)}`;
    const archive = join(stage.bed.folder, "saved.tar");
    // Its notes are in /var/lib/containers, whatever it is told: there it gets a folder of its own.
    const mount = `mount --bind ${stage.skopeoMemory} /var/lib`;
    const copy = `${stage.skopeo} --insecure-policy copy -q docker-archive:${archive} ${to}`;
    return `docker save -o ${archive} ${image}
unshare --mount sh -ec '${mount}; ${copy}'
rm ${archive}
${pullThroughSsh(image, stage)}`;
  },
};

function inRegistry(image: string, { registry }: Pick<Stage, "registry">): string {
  return `127.0.0.1:${registry.port}/${image}`;
}

/**
 * One login; the forwarding is ended with the pull. By itself `ssh -R … docker pull` would end two minutes later: it waits for
 * the connections that the engine keeps for another pull.
 */
function pullThroughSsh(image: string, { registry, bed }: Pick<Stage, "bed" | "registry">): string {
  const there = `127.0.0.1:${FAR_PORT}/${image}`;
  const ssh = `ssh -S ${bed.folder}/registry.ssh`;
  const forward = `-o ExitOnForwardFailure=yes -R 127.0.0.1:${FAR_PORT}:127.0.0.1:${registry.port}`;
  return `${ssh} -M -N ${forward} far & trap "kill $!" EXIT
until ${ssh} -O check far 2>/dev/null; do kill -0 $!; sleep 0.02; done
${ssh} far "docker pull -q ${there} && docker tag ${there} ${image}"`;
}
