import type { Engine } from "../test/testbed/engine.ts";
import { prepareLayer, type LayerName } from "./workload/layers.ts";

/**
 * Builds an image of these layers with the engine's classic builder, because one of the versions needs a further package for BuildKit. Two
 * images that begin with the same layers share them. Returns the name of the image.
 */
export async function buildImage(engine: Engine, layers: LayerName[]): Promise<string> {
  let below = "scratch";
  const names: LayerName[] = [];
  for (const name of layers) {
    names.push(name);
    const image = `workload:${names.join("_").replaceAll(" ", "-")}`;
    if (!(await isThere(engine, image))) {
      const { folder } = await prepareLayer(name);
      const dockerfile = `FROM ${below}\nADD layer.tar /\nCMD ["/usr/local/bin/node", "/app/dist/0.js"]\n`;
      const args = ["build", "--quiet", "--tag", image, "--file", "-", folder];
      await engine.dockerWithInput([Buffer.from(dockerfile)], args, { DOCKER_BUILDKIT: "0" });
    }
    below = image;
  }
  return below;
}

async function isThere(engine: Engine, image: string): Promise<boolean> {
  return await engine.docker("image", "inspect", image).then(
    () => true,
    () => false,
  );
}

/** Returns the diff IDs, which are the same on every engine. */
export async function layersOf(engine: Engine, image: string): Promise<string> {
  return (await engine.docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", image)).stdout;
}
