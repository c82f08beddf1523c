import { join } from "node:path";
import type { Stage } from "../stage.ts";
import type { Peer } from "./peer.ts";

/** The port of a forwarding on either machine. Each machine has its own network. */
const FAR_PORT = 5001;

/** A permanent registry on the machine of the sending engine, which has everything that was pushed to it before. */
export const registryPull = {
  name: "docker push, ssh -R, docker pull",
  line: (image: string, stage: Pick<Stage, "bed" | "registry">): string => {
    const there = inRegistry(image, stage);
    return `docker tag ${image} ${there}\ndocker push -q ${there}\n${pullThroughSsh(image, stage)}`;
  },
} satisfies Peer;

/**
 * Models unregistry: `docker push` through ssh to a registry on the far machine, which has everything that was pushed to it before.
 * unregistry writes into the far engine's containerd. This registry stores a copy, which the engine pulls.
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
 * skopeo compresses the image instead of docker, and knows from its own cache which layers the registry has. It reads a file that
 * `docker save` has written, because its docker-daemon: transport requests API version 1.22, which is too old for Docker 25 and later, and
 * because it reads the archive more than once.
 */
export const skopeo: Peer = {
  name: "docker save, skopeo copy, ssh -R, docker pull",
  line: (image, stage) => {
    const to = `--dest-tls-verify=false docker://${inRegistry(image, stage)}`;
    const archive = join(stage.bed.folder, "saved.tar");
    // Its cache is always in /var/lib/containers, so a separate folder is mounted there.
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
 * Uses one login, and ends the forwarding with the pull. `ssh -R … docker pull` alone would end two minutes later, because it waits for
 * the connections that the engine keeps open for another pull.
 */
function pullThroughSsh(image: string, { registry, bed }: Pick<Stage, "bed" | "registry">): string {
  const there = `127.0.0.1:${FAR_PORT}/${image}`;
  const ssh = `ssh -S ${bed.folder}/registry.ssh`;
  const forward = `-o ExitOnForwardFailure=yes -R 127.0.0.1:${FAR_PORT}:127.0.0.1:${registry.port}`;
  return `${ssh} -M -N ${forward} far & trap "kill $!" EXIT
until ${ssh} -O check far 2>/dev/null; do kill -0 $!; sleep 0.02; done
${ssh} far "docker pull -q ${there} && docker tag ${there} ${image}"`;
}
