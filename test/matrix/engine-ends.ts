import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Engine } from "../testbed/engine.ts";
import type { ImageLocation } from "./beds.ts";
import { dockerArchive, renamed, type CaseImages, type Image } from "./case-image.ts";
import type { Destination, Source, State } from "./ends.ts";
import { checkSaved, readTar } from "./saved-image.ts";
import { pullLine, pushLine } from "./send.ts";

/** An engine that the tool is beside, or is told of with -H. */
export function engineSource({ engine }: ImageLocation): Source {
  return {
    what: whatIs(engine),
    async put(image) {
      await load(engine, image);
      return ["-H", engine.host, image.name];
    },
    remove: async ({ name }) => await remove(engine, name),
  };
}

/**
 * A far engine that the tool speaks to through `system dial-stdio`. It gives layers as it stores them: those of a containerd store
 * are gzip, as of an image that was built or pulled.
 */
export function aloneSource(location: ImageLocation): Source {
  const { bed, engine } = location;
  const isContainerd = engine.description.kind.endsWith("-containerd");
  return {
    what: whatIs(engine),
    givesAll: !isContainerd,
    async put(image) {
      if (isContainerd) {
        const name = await pull(location, image);
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

/** The far engine of a bed, with the tool beside it. */
export function farDestination(location: ImageLocation): Destination {
  return engineDestination(location, ({ v2 }) => ["ssh", "far", "docker-over-ssh", "pull", v2.name]);
}

/** The far engine of a bed, with nothing beside it. */
export function aloneDestination(location: ImageLocation): Destination {
  const { engine } = location;
  const command = dialStdio("ssh", engine);
  return { ...engineDestination(location, () => command), takesPlain: engine.description.kind === "podman" };
}

/** An engine of which the tool is told with -H, at the end of a pipe. */
export function namedDestination(location: ImageLocation): Destination {
  return engineDestination(location, ({ v2 }) => ["docker-over-ssh", "pull", "-H", location.engine.host, v2.name]);
}

/** The same, where the tool has a far engine for a source. */
export function pullingDestination(location: ImageLocation): Destination {
  return {
    ...namedDestination(location),
    line: (source, { v2 }, copy) => pullLine(["-H", location.engine.host, v2.name], source, copy),
  };
}

/** @param command the receiving side */
function engineDestination(location: ImageLocation, command: (images: CaseImages) => string[]): Destination {
  const { bed, engine, after } = location;

  const prepare = async (state: State, { v1, v2, restacked }: CaseImages): Promise<string | undefined> => {
    if (state === "empty") return undefined;
    if (state === "pulled") return await pull(location, v1);
    if (state === "halved") {
      await load(engine, v1);
      const name = await pull(location, v1);
      await remove(engine, v1.name);
      return name;
    }
    const image = { loaded: v1, restacked, complete: renamed(v2, `${v2.name}-before`) }[state];
    await load(engine, image);
    return image.name;
  };

  const runOnce = async (name: string): Promise<string> => (await engine.docker("run", "--rm", name)).stdout;
  // A client may miss what a container prints that ends at once: once in 500 runs, on 26.1, with everything else as it should be.
  const run = async (name: string): Promise<string> => (await runOnce(name)) || (await runOnce(name));

  const save = async (name: string): Promise<unknown> => {
    const file = join(bed.folder, `${name.replaceAll(/\W/g, "-")}.tar`);
    await engine.docker("save", "--output", file, name);
    const saved = checkSaved(await readTar(await readFile(file)));
    await rm(file);
    return saved;
  };

  const push = async (name: string): Promise<unknown> => {
    const there = `${after.host}/${name}`;
    await engine.docker("tag", name, there);
    await engine.docker("push", there);
    await remove(engine, there);
    return await after.look(name);
  };

  /** The names that have to do with the case, temporary ones too; in short, where Podman has them in full. */
  const namesLike = async (name: string): Promise<string[]> => {
    const { references } = await engine.listing();
    const [repository = ""] = name.split(":");
    return references
      .filter((found) => found.includes(repository) && !found.includes("@"))
      .map((found) => found.replace(/^(?:localhost|docker\.io\/library)\/(?=[^/]+$)/, ""));
  };

  return {
    what: whatIs(engine),
    env: bed.env,
    folder: bed.folder,
    prepare,
    line: (source, images, copy) => pushLine(source, command(images), copy),

    async observe({ v2: { name } }, older) {
      const names = (await namesLike(name)).filter((found) => found !== older);
      const [diffIds, prints, saved, pushed] = await allOf([rootFs(engine, name), run(name), save(name), push(name)]);
      if (older !== undefined) await remove(engine, older);
      const [printsAlone, savedAlone] = await allOf([run(name), save(name)]);
      return { names, diffIds, prints, saved, pushed, withoutOlder: { prints: printsAlone, saved: savedAlone } };
    },

    expected({ v2: { name, configDigest, layers }, prints }) {
      const diffIds = layers.map(({ diffId }) => diffId);
      const saved = { configDigest, diffIds, faults: [] };
      const pushed = { configDigest, layers: layers.length };
      return { names: [name], diffIds, prints, saved, pushed, withoutOlder: { prints, saved } };
    },

    async clear({ v2 }) {
      const left = await namesLike(v2.name);
      if (left.length > 0) await engine.docker("rmi", "--force", ...left);
    },
  };
}

function whatIs({ version, description: { kind } }: Engine): string {
  if (kind === "podman") return `Podman ${version}, through its Docker API`;
  return `Docker ${version}, ${kind.endsWith("-containerd") ? "containerd image store" : "graph driver"}`;
}

/** The command for an engine, and nothing else. Podman's own looks elsewhere for its service than docker does. */
function dialStdio(ssh: string, { description: { kind } }: Engine): string[] {
  const program = kind === "podman" ? ["podman", "--url", "unix:///run/docker.sock"] : ["docker"];
  return [ssh, "far", ...program, "system", "dial-stdio"];
}

/** As gzip layers. @returns its name there */
async function pull({ engine, before }: ImageLocation, image: Image): Promise<string> {
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

/** The results; what failed is told in place of its own, so that all of it is seen, and nothing goes on after the test. */
async function allOf(steps: Promise<unknown>[]): Promise<unknown[]> {
  return await Promise.all(steps.map(async (step) => await step.catch((error: unknown) => String(error))));
}
