import { buildImage } from "../test/testbed/build-image.ts";
import { makeContent } from "../test/testbed/content.ts";
import type { Engine } from "../test/testbed/engine.ts";
import { tar } from "../test/testbed/tar.ts";

const BELOW = "below:v1";
const APP_FILES = 20;

/** Builds two layers with this total number of megabytes, for {@link buildApp}. */
export async function buildLayersBelow(engine: Engine, megabytes: number): Promise<void> {
  const layers = ["system", "modules"].map((name) => ({ name, bytes: (megabytes * 1e6) / 2, files: megabytes * 5 }));
  await buildImage(engine, BELOW, layers);
}

/** Builds an app layer of this number of bytes on the layers below. With another seed, every file is new. */
export async function buildApp(engine: Engine, reference: string, seed: string, bytes: number): Promise<void> {
  const size = Math.round(bytes / APP_FILES);
  const files = Array.from({ length: APP_FILES }, (_, index) => ({
    path: `app/${index}.js`,
    type: "file" as const,
    size,
    content: () => makeContent("random", size, `${seed} ${index}`),
  }));
  const dockerfile = Buffer.from(`FROM ${BELOW}\nCOPY app /app\n`);
  const context = tar([
    { path: "Dockerfile", type: "file", size: dockerfile.length, content: () => [dockerfile] },
    ...files,
  ]);
  await engine.dockerWithInput(context, ["build", "--quiet", "--tag", reference, "-"], { DOCKER_BUILDKIT: "0" });
}
