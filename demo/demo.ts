/**
 * Moves an image end to end on real engines: `npm run demo`.
 *
 * The sending engine is the engine of this machine, or a temporary one if the machine has none. The receiving engine is always a temporary one in
 * its own network namespace, behind a real sshd, on a host without docker-over-ssh. The demo removes everything at the end.
 */
import { execa } from "execa";
import { buildImage } from "../test/testbed/build-image.ts";
import { checkTestbed } from "../test/testbed/check.ts";
import type { Engine } from "../test/testbed/engine.ts";
import { useHostEngine } from "../test/testbed/host-engine.ts";
import { startTestbed } from "../test/testbed/start.ts";

const IMAGE = "docker-over-ssh-demo";
/** A host with docker and Node, but without docker-over-ssh. */
const HOST = "with-node";
const MB = 1_000_000;
/** The layers that both versions share: 45 MB that hardly compress, in four layers including busybox. */
const LAYERS = [
  { name: "libraries", bytes: 25 * MB, files: 200 },
  { name: "node_modules", bytes: 15 * MB, files: 3000 },
  { name: "assets", bytes: 5 * MB, files: 50 },
];

const say = (text: string): void => console.log(`\n\u001b[1m${text}\u001b[0m`);

const check = await checkTestbed();
if (check.usable) await demo();
else {
  console.error(`The demo needs two engines, and cannot start a second one on this machine: ${check.why}.`);
  console.error("Run it as root on Debian or Ubuntu, for instance in a privileged container or a virtual machine.");
  process.exitCode = 1;
}

async function demo(): Promise<void> {
  console.log("Starting engines (the first time, this installs missing packages) …");
  await using bed = await startTestbed();
  const own = await engineAtHand();
  const near = own ?? bed.near;
  const env = { ...bed.env, ...(own === undefined ? {} : { DOCKER_HOST: own.host }) };
  try {
    console.log(
      `near: Docker ${near.version}, ${own === undefined ? "a temporary engine" : "the engine of this machine"}`,
    );
    console.log(
      `far:  Docker ${bed.far.version}, a temporary engine in its own network namespace, reached by ssh; docker-over-ssh is not installed on its host`,
    );
    for (const version of ["v1", "v2"]) await buildImage(near, `${IMAGE}:${version}`, LAYERS);

    say("1. The remote engine has nothing: docker-over-ssh sends itself and the whole image.");
    const first = await push("v1");
    say("2. v2 differs in its top layer: only that layer is sent.");
    const second = await push("v2");
    if (second > first / 100) throw new Error("the second push sent more than its top layer");
    say(`Done: ${(first / MB).toFixed(1)} MB crossed the wire for v1, ${(second / MB).toFixed(3)} MB for v2.`);
  } finally {
    if (own !== undefined) {
      await own.docker("rmi", `${IMAGE}:v1`, `${IMAGE}:v2`).catch(() => {});
    }
  }

  /** Pushes and runs the image with the printed commands. Returns the bytes that crossed the wire. */
  async function push(version: string): Promise<number> {
    const image = `${IMAGE}:${version}`;
    const wire = await bed.countWire();
    console.log(`$ docker-over-ssh push ${image} ssh://${HOST}`);
    await execa({ env, stdio: "inherit" })`docker-over-ssh push ${image} ssh://${HOST}`;
    const { toFar } = await wire();
    console.log(`$ ssh ${HOST} docker run --rm ${image}`);
    await execa({ env, stdio: "inherit" })`ssh ${HOST} ${`docker run --rm ${image}`}`;
    console.log(`(${toFar} bytes crossed the wire, including ssh and TCP)`);
    return toFar;
  }
}

/** Returns the engine that the docker command of this machine uses, if it answers. */
async function engineAtHand(): Promise<Engine | undefined> {
  try {
    const { near } = await useHostEngine("");
    return near;
  } catch {
    return undefined;
  }
}
