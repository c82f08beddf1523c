import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Engine } from "../testbed/engine.ts";
import type { Testbed } from "../testbed/testbed.ts";
import { dockerArchive, renamed, type CaseImages, type Image } from "./case-image.ts";
import type { Destination, Source, State } from "./ends.ts";
import { startFarRegistry } from "./registry.ts";
import { checkSaved, readTar } from "./saved-image.ts";

/** The near engine of a bed. */
export function engineSource({ near }: Testbed): Source {
  return {
    what: whatIs(near),
    async put(image) {
      await load(near, image);
      return ["-H", near.host, image.name];
    },
    async remove({ name }) {
      await near.docker("rmi", name);
    },
  };
}

/** The far engine of a bed; what it receives comes over ssh. */
export async function engineDestination(bed: Testbed): Promise<Destination> {
  const engine = bed.far;
  // One to pull from and one to push to: blobs that the first one has would not be asked of the engine.
  const [before, after] = await Promise.all([startFarRegistry(bed, 5000), startFarRegistry(bed, 5001)]);

  const pull = async (image: Image): Promise<string> => {
    const name = `${before.host}/${image.name}`;
    await before.put(image);
    await engine.docker("pull", "--quiet", name);
    return name;
  };

  const prepare = async (state: State, { v1, v2, restacked }: CaseImages): Promise<string | undefined> => {
    if (state === "empty") return undefined;
    if (state === "pulled") return await pull(v1);
    if (state === "halved") {
      await load(engine, v1);
      const name = await pull(v1);
      await engine.docker("rmi", v1.name);
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
    await engine.docker("rmi", there);
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
    command: () => 'ssh far "docker-over-ssh pull $1"',

    async observe({ v2: { name } }, older) {
      const names = (await namesLike(name)).filter((found) => found !== older);
      const [diffIds, prints, saved, pushed] = await allOf([rootFs(engine, name), run(name), save(name), push(name)]);
      if (older !== undefined) await engine.docker("rmi", older);
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

async function load(engine: Engine, image: Image): Promise<void> {
  await engine.dockerWithInput([dockerArchive(image)], ["load"]);
}

async function rootFs(engine: Engine, name: string): Promise<string[]> {
  const { stdout } = await engine.docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", name);
  return JSON.parse(stdout) as string[];
}

/** The results; what failed is told in place of its own, so that all of it is seen, and nothing goes on after the test. */
async function allOf(steps: Promise<unknown>[]): Promise<unknown[]> {
  return await Promise.all(steps.map(async (step) => await step.catch((error: unknown) => String(error))));
}
