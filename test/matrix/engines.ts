import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Engine } from "../testbed/engine.ts";
import type { BedEngine } from "./beds.ts";
import { dockerArchive, renamed, type CaseImages, type Image } from "./case-image.ts";
import type { Destination, Source, State } from "./case.ts";
import { checkSaved, readTar } from "./saved-image.ts";
import { pullLine, pushLine } from "./send.ts";

/** An engine on the tool's machine, named with -H. */
export function engineSource({ engine }: BedEngine): Source {
  return {
    what: versionAndStore(engine),
    async put(image) {
      await load(engine, image);
      return ["-H", engine.host, image.name];
    },
    remove: async ({ name }) => await remove(engine, name),
  };
}

/**
 * A remote engine that the tool reaches through `system dial-stdio`. It exports layers as it stores them. A containerd store has gzip layers, as
 * after a build or a pull.
 */
export function engineOnlySource(target: BedEngine): Source {
  const { bed, engine } = target;
  const isContainerd = engine.description.kind.endsWith("-containerd");
  return {
    what: versionAndStore(engine),
    exportsAll: !isContainerd,
    async put(image) {
      if (isContainerd) {
        const name = await pull(target, image);
        await engine.docker("tag", name, image.name);
        await remove(engine, name);
      } else {
        await load(engine, image);
      }
      return dialStdio(join(bed.bin, "ssh"), engine);
    },
    remove: async ({ name }) => await remove(engine, name),
  };
}

/** The far engine of a bed, with the tool on its machine. */
export function remoteDestination(target: BedEngine): Destination {
  return engineDestination(target, ({ v2 }) => ["ssh", "far", "docker-over-ssh", "pull", v2.name]);
}

/** The far engine of a bed, without the tool on its machine. */
export function engineOnlyDestination(target: BedEngine): Destination {
  const { engine } = target;
  const command = dialStdio("ssh", engine);
  return { ...engineDestination(target, () => command), takesPlain: engine.description.kind === "podman" };
}

/** An engine named with -H on the receiving side of a pipe. */
export function hostOptionDestination(target: BedEngine): Destination {
  return engineDestination(target, ({ v2 }) => ["docker-over-ssh", "pull", "-H", target.engine.host, v2.name]);
}

/** An engine named with -H, for a pull from a remote engine. */
export function pullingDestination(target: BedEngine): Destination {
  return {
    ...hostOptionDestination(target),
    line: (source, { v2 }, copy) => pullLine(["-H", target.engine.host, v2.name], source, copy),
  };
}

/** @param command returns the receiver's command */
function engineDestination(target: BedEngine, command: (images: CaseImages) => string[]): Destination {
  const { bed, engine } = target;
  return {
    what: versionAndStore(engine),
    env: bed.env,
    folder: bed.folder,
    prepare: async (state, images) => await prepare(target, state, images),
    line: (source, images, copy) => pushLine(source, command(images), copy),

    async observe({ v2: { name } }, older) {
      const names = (await namesLike(engine, name)).filter((found) => found !== older);
      const [diffIds, prints, saved, pushed] = await allOf([
        rootFs(engine, name),
        run(engine, name),
        save(target, name),
        push(target, name),
      ]);
      if (older !== undefined) await remove(engine, older);
      const [printsAlone, savedAlone] = await allOf([run(engine, name), save(target, name)]);
      return { names, diffIds, prints, saved, pushed, withoutOlder: { prints: printsAlone, saved: savedAlone } };
    },

    expected({ v2: { name, configDigest, layers }, prints }) {
      const diffIds = layers.map(({ diffId }) => diffId);
      const saved = { configDigest, diffIds, faults: [] };
      const pushed = { configDigest, layers: layers.length };
      return { names: [name], diffIds, prints, saved, pushed, withoutOlder: { prints, saved } };
    },

    async clear({ v2 }) {
      const left = await namesLike(engine, v2.name);
      if (left.length > 0) await engine.docker("rmi", "--force", ...left);
    },
  };
}

/** Brings an engine into a state. @returns the name of the image it then has, if any */
async function prepare(
  target: BedEngine,
  state: State,
  { v1, v2, restacked }: CaseImages,
): Promise<string | undefined> {
  const { engine } = target;
  if (state === "empty") return undefined;
  if (state === "pulled") return await pull(target, v1);
  if (state === "halved") {
    await load(engine, v1);
    const name = await pull(target, v1);
    await remove(engine, v1.name);
    return name;
  }
  const image = { loaded: v1, restacked, complete: renamed(v2, `${v2.name}-before`) }[state];
  await load(engine, image);
  return image.name;
}

/** Runs an image, and returns its output. A client may miss the output of a container that ends at once: once in 500 runs, on 26.1. */
async function run(engine: Engine, name: string): Promise<string> {
  const once = async (): Promise<string> => (await engine.docker("run", "--rm", name)).stdout;
  return (await once()) || (await once());
}

/** Exports an image with `docker save`, and checks it. */
async function save({ bed, engine }: BedEngine, name: string): Promise<unknown> {
  const file = join(bed.folder, `${name.replaceAll(/\W/g, "-")}.tar`);
  await engine.docker("save", "--output", file, name);
  const saved = checkSaved(await readTar(await readFile(file)));
  await rm(file);
  return saved;
}

/** Pushes an image to a registry without it, and checks it there. */
async function push({ engine, after }: BedEngine, name: string): Promise<unknown> {
  const pushed = `${after.host}/${name}`;
  await engine.docker("tag", name, pushed);
  await engine.docker("push", pushed);
  await remove(engine, pushed);
  return await after.look(name);
}

/** Returns the image names of a case, including temporary ones, in the short form for Podman. */
async function namesLike(engine: Engine, name: string): Promise<string[]> {
  const { references } = await engine.listing();
  const [repository = ""] = name.split(":");
  return references
    .filter((found) => found.includes(repository) && !found.includes("@"))
    .map((found) => found.replace(/^(?:localhost|docker\.io\/library)\/(?=[^/]+$)/, ""));
}

function versionAndStore({ version, description: { kind } }: Engine): string {
  if (kind === "podman") return `Podman ${version}, through its Docker API`;
  return `Docker ${version}, ${kind.endsWith("-containerd") ? "containerd image store" : "graph driver"}`;
}

/** Returns the command that connects to an engine alone. Podman's CLI looks for its service at another path than docker's CLI. */
function dialStdio(ssh: string, { description: { kind } }: Engine): string[] {
  const program = kind === "podman" ? ["podman", "--url", "unix:///run/docker.sock"] : ["docker"];
  return [ssh, "far", ...program, "system", "dial-stdio"];
}

/** Pulls an image as gzip layers. @returns its name in the engine */
async function pull({ engine, before }: BedEngine, image: Image): Promise<string> {
  const name = `${before.host}/${image.name}`;
  await before.put(image);
  await engine.docker("pull", "--quiet", name);
  return name;
}

async function load(engine: Engine, image: Image): Promise<void> {
  await engine.dockerWithInput([dockerArchive(image)], ["load"]);
}

async function remove(engine: Engine, name: string): Promise<void> {
  await engine.docker("rmi", name);
}

async function rootFs(engine: Engine, name: string): Promise<string[]> {
  const { stdout } = await engine.docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", name);
  return JSON.parse(stdout) as string[];
}

/** Waits for all steps. A failed step's result is its error, so that a mismatch shows all of them and no step outlives the test. */
async function allOf(steps: Promise<unknown>[]): Promise<unknown[]> {
  return await Promise.all(steps.map(async (step) => await step.catch((error: unknown) => String(error))));
}
