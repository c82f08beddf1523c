import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildContext, type LayerSpec } from "./build-image.ts";
import { buildxFolder } from "./engine-packages.ts";
import type { Engine } from "./engine.ts";

/**
 * Builds the image that {@link buildImage} builds with BuildKit, the engine's own, as `docker build` does where buildx is installed.
 * A containerd store has an index then: of the image, and of an attestation that tells how it was built.
 * @param engine with a containerd store: others keep no attestations, and buildx refuses to make them
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
