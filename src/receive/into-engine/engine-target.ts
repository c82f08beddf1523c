import type { Engine } from "../../engine/engine.ts";
import { removeLeftovers } from "../../engine/leftovers.ts";
import { temporaryName } from "../../run/run-id.ts";
import { digestOf } from "../../image/digest.ts";
import { taggableName, type Reference } from "../../image/reference.ts";
import { Failure } from "../../output/errors.ts";
import { refuseTooManyLayers } from "../../store/layer-limit.ts";
import { readManifest } from "../../store/read-manifest.ts";
import { loadIntoEngine } from "./load-into-engine.ts";
import { indexesInEngine } from "./index-in-engine.ts";
import { letEnginePull } from "./engine-pull.ts";
import { planEnginePull, planLoad } from "./plan-for-engine.ts";
import { PlannedImages } from "../planned-images.ts";
import { planOldImages, removeOldImages } from "../remove-old-images.ts";
import type { Target } from "../target.ts";

/** `load`: load missing layers through the API. `pull`: let the engine pull from the sender's registry. */
export type Via = "load" | "pull";

/** Returns an engine as a target. The target owns the engine. */
export async function engineTarget(engine: Engine, via: Via = "load"): Promise<Target> {
  const info = await engine.info();
  let hasRemovedLeftovers = false;
  const [receive, plan] = via === "pull" ? [letEnginePull, planEnginePull] : [loadIntoEngine, planLoad];
  const planned = new PlannedImages(info.store === "containerd" ? "blob" : "chain");
  // The content store is opened early, during the request to the sender.
  if (via === "load" && info.store === "containerd") engine.contentStore().catch(() => {});
  return {
    address: engine.address,
    platform: info.platform,
    compressesLoads: !engine.takesManyAtOnce && info.store !== "podman",
    get moved() {
      return engine.moved;
    },
    namesFor: ([first, ...others]) => [nameInEngine(first), ...others.map(nameInEngine)],
    indexes: () => ({ ...indexesInEngine(engine, info, via === "pull"), planned }),
    async removeLeftovers() {
      if (hasRemovedLeftovers) return []; // the engine receives several images
      hasRemovedLeftovers = true;
      return await removeLeftovers(engine);
    },
    async receive(options) {
      refuseTooManyLayers(options.about.diffIds.length, info, engine.address);
      return await receive({ ...options, engine, info });
    },
    async plan(options) {
      refuseTooManyLayers(options.about.diffIds.length, info, engine.address);
      const found = await plan({ ...options, engine, info }, planned);
      planned.add(options.about.diffIds);
      return found;
    },
    inspect: async (name) => await engine.inspectImage(name),
    ...(info.store === "containerd" && {
      async manifestOf(name, { platform, runId }) {
        const { id = "" } = (await engine.inspectImage(name)) ?? {};
        const found = await readManifest(engine, { id, platform }, temporaryName("localhost", "manifest", [runId]));
        return found && digestOf(found.bytes);
      },
    }),
    removeOld: async (images, keep, arrived) => await removeOldImages(engine, images, keep, arrived),
    oldNames: async (images, keep, ids) => await planOldImages(engine, images, keep, ids),
    async tag(from, to) {
      for (const name of to) await engine.tagImage(from, name);
    },
    [Symbol.asyncDispose]: async () => await engine[Symbol.asyncDispose](),
  };
}

function nameInEngine(image: Reference): string {
  const name = taggableName(image);
  if (name !== undefined) return name;
  throw new Failure(
    "usage",
    `${image.given} has a digest and no tag, and engines give such a name only to images that they pull from a registry`,
    {
      expected: "a name with a tag, with or without a digest",
      hint: `Add a tag: ${image.given.replace("@", ":TAG@")}`,
    },
  );
}
