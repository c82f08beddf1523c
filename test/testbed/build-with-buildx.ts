import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildContext, type LayerSpec } from "./build-image.ts";
import { buildxFolder } from "./engine-packages.ts";
import type { Engine } from "./engine.ts";

/**
 * Builds the image of {@link buildImage} with the engine's BuildKit, as `docker build` does where buildx is installed. A containerd store then
 * has an index of the image and of a provenance attestation.
 * @param engine an engine with a containerd store: other stores have no attestations, and buildx refuses to create them
 * @returns the image's ID
 */
export async function buildWithBuildx(engine: Engine, reference: string, layers: LayerSpec[] = []): Promise<string> {
  const config = await mkdtemp(join(tmpdir(), "dos-buildx-"));
  try {
    await writeFile(join(config, "config.json"), JSON.stringify({ cliPluginsExtraDirs: [await buildxFolder()] }));
    const options = ["--provenance=mode=max", "--quiet", "--network", "none", "--tag", reference];
    const { stdout } = await engine.dockerWithInput(
      await buildContext(reference, layers),
      ["buildx", "build", ...options, "-"],
      { DOCKER_CONFIG: config },
    );
    return stdout.trim();
  } finally {
    await rm(config, { recursive: true });
  }
}
