import type { Engine, EngineInfo } from "../engine/engine.ts";
import { removeLeftovers } from "../engine/leftovers.ts";
import { temporaryName } from "../run/run-id.ts";
import { digestOf } from "../image/digest.ts";
import { taggableName } from "../image/reference.ts";
import { Failure } from "../output/errors.ts";
import { readManifest } from "../store/read-manifest.ts";
import { loadIntoEngine } from "./load-into-engine.ts";
import { letEnginePull } from "./engine-pull.ts";
import type { Target } from "./target.ts";

/** `load` what is missing through the engine's API, or let the engine `pull` by itself. */
export type Via = "load" | "pull";

/**
 * Layers that Docker stacks in a classic store at most, whatever the graph driver: moby's layer store counts them (`layer_store.go`,
 * maxLayerDepth), and 26.1 refused the 126th when it had all. Containerd stores and Podman take more: 510 were tried.
 */
const MOST_LAYERS = 125;

/** An engine to put images into. Owns the engine. */
export async function engineTarget(engine: Engine, via: Via = "load"): Promise<Target> {
  const info = await engine.info();
  const bring = via === "pull" ? letEnginePull : loadIntoEngine;
  // For later, while the sender is asked.
  if (via === "load" && info.store === "containerd") engine.contentStore().catch(() => {});
  return {
    address: engine.address,
    platform: info.platform,
    get moved() {
      return engine.moved;
    },
    nameFor(image) {
      const name = taggableName(image);
      if (name !== undefined) return name;
      throw new Failure(
        "usage",
        `${image.given} names an image by its digest alone, and an engine takes such a name only from the registry it pulls it from`,
        {
          expected: "a name with a tag, with or without a digest",
          hint: `Add a tag: ${image.given.replace("@", ":TAG@")}`,
        },
      );
    },
    tidy: async () => await removeLeftovers(engine),
    async receive(options) {
      refuseTooMany(options.about.diffIds.length, info, engine.address);
      return await bring({ ...options, engine, info });
    },
    inspect: async (name) => await engine.inspectImage(name),
    ...(info.store === "containerd" && {
      async manifestOf(name, { platform, run }) {
        const { id = "" } = (await engine.inspectImage(name)) ?? {};
        const found = await readManifest(engine, { id, platform }, temporaryName("localhost", "manifest", [run]));
        return found && digestOf(found.bytes);
      },
    }),
    tag: async (from, to) => await engine.tagImage(from, to),
    [Symbol.asyncDispose]: async () => await engine[Symbol.asyncDispose](),
  };
}

/** Before anything is sent: the engine says so only when it has got all of it. Layers that are there already count as well. */
function refuseTooMany(layers: number, { store }: EngineInfo, address: string): void {
  if (store !== "graphdriver" || layers <= MOST_LAYERS) return;
  throw new Failure(
    "refused",
    `the image has ${layers} layers, and the classic image store of ${address} takes no more than ${MOST_LAYERS}`,
    {
      expected: `an image of at most ${MOST_LAYERS} layers, or an engine with the containerd image store, or Podman`,
      hint: "Build it with fewer steps, or copy its files into one layer: FROM scratch, then COPY --from=IMAGE / /.",
    },
  );
}
