import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../../test/testbed/programs.ts";
import { FILE, plantApp, plantFile } from "./app.ts";
import { BASE_PACKAGES, plantBase } from "./base.ts";
import { cached } from "./cache.ts";
import { BUMPED, lockOf, plantModules, plantRuntime } from "./packages.ts";

/** The files of a layer. Some layers have two states. `recipe` determines the whole content. */
interface Tree {
  recipe: unknown;
  plant(root: string): Promise<void> | void;
  /** Set if the files have the times from their package. */
  ownTimes?: true;
}

const TREES = {
  base: { recipe: BASE_PACKAGES, plant: async (root) => await plantBase(root, "released"), ownTimes: true },
  "base-upgraded": {
    recipe: [BASE_PACKAGES, "security"],
    plant: async (root) => await plantBase(root, "upgraded"),
    ownTimes: true,
  },
  runtime: { recipe: lockOf("runtime"), plant: plantRuntime },
  modules: { recipe: lockOf("modules"), plant: async (root) => await plantModules(root, "modules") },
  "modules-bumped": {
    recipe: [lockOf("modules"), BUMPED.modules],
    plant: async (root) => await plantModules(root, "modules", BUMPED.modules),
  },
  "other-modules": {
    recipe: lockOf("other-modules"),
    plant: async (root) => await plantModules(root, "other-modules"),
  },
  "other-modules-bumped": {
    recipe: [lockOf("other-modules"), BUMPED["other-modules"]],
    plant: async (root) => await plantModules(root, "other-modules", BUMPED["other-modules"]),
  },
  app: { recipe: "app 1", plant: (root) => plantApp(root, "app 1") },
  "app-changed": { recipe: "app 2", plant: (root) => plantApp(root, "app 2") },
  file: { recipe: FILE, plant: (root) => plantFile(root, false) },
  "file-changed": { recipe: [FILE, "changed"], plant: (root) => plantFile(root, true) },
} satisfies Record<string, Tree>;

type TreeName = keyof typeof TREES;

/** A tree of the first build (`base`), or of a rebuild (`base again`) with a new time for all files. */
export type LayerName = TreeName | `${TreeName} again`;

export interface Layer {
  name: LayerName;
  /** Folder of its `layer.tar`. */
  folder: string;
  bytes: number;
  files: number;
}

/** Build times in seconds since the epoch: the first of January and of February 2026. */
const BUILT = { first: 1_767_225_600, again: 1_769_904_000 };

/** Returns the layer from the cache, or creates it. The same files give the same archive, byte for byte. */
export async function prepareLayer(name: LayerName): Promise<Layer> {
  const treeName = name.replace(" again", "") as TreeName;
  const tree: Tree = TREES[treeName];
  const folder = await cached(treeName, [tree.recipe, BUILT], async (folder) => {
    const root = join(folder, "root");
    mkdirSync(root);
    await tree.plant(root);
    const { stdout } = await run("sh", ["-c", `find "$0" -type f | wc -l`, root]);
    writeFileSync(join(folder, "files"), stdout);
    await pack(root, join(folder, "first"), [...(tree.ownTimes ? ["--clamp-mtime"] : []), `--mtime=@${BUILT.first}`]);
    await pack(root, join(folder, "again"), [`--mtime=@${BUILT.again}`]);
    await run`rm -rf ${root}`;
  });
  const own = join(folder, name.endsWith(" again") ? "again" : "first");
  const { size } = statSync(join(own, "layer.tar"));
  return { name, folder: own, bytes: size, files: Number(readFileSync(join(folder, "files"), "utf8")) };
}

async function pack(root: string, folder: string, times: string[]): Promise<void> {
  mkdirSync(folder);
  const order = ["--sort=name", "--format=gnu", "--owner=0", "--group=0", "--numeric-owner"];
  await run("tar", [...order, ...times, "-C", root, "-cf", join(folder, "layer.tar"), "."]);
}
