import { readSavedImage } from "../image/archive/read-saved-image.ts";
import { Failure } from "../output/errors.ts";
import type { EmbeddedRegistry } from "../registry/embedded/server.ts";
import type { EngineDepartureOptions } from "./departure.ts";
import { pushFew } from "./push-few.ts";
import type { Shelf } from "./shelf.ts";
import { takeStored } from "./take-stored.ts";

/**
 * Puts the wanted layers on the shelf, in the cheaper of two ways: the engine pushes just them (a moment, for few bytes, and for
 * any number on a containerd store, which has them as blobs), or `docker save` is read as it streams, and the others pass.
 * A containerd store that cannot push to us gives just them, too.
 */
export async function collectLayers(
  registry: EmbeddedRegistry,
  shelf: Shelf,
  options: EngineDepartureOptions,
): Promise<void> {
  const { engineInfo, image, manifest, want, output, onProgress } = options;
  onProgress({ stage: "preparing", current: 0, layers: { done: 0, total: want.diffIds.length } });
  if (await pushFew(registry, shelf, options)) return;
  if (engineInfo.store === "containerd" && (await takeStored(shelf, options))) return;
  if (manifest !== undefined) throw notAsStored(image.given);
  output.detail("reading `docker save` for the layers that are wanted");
  await saveMany(shelf, options);
}

/** What `docker save` gives would be packed anew. */
function notAsStored(image: string): Failure {
  return new Failure("not-verified", `the engine does not give the layers of ${image} as it stores them`, {
    expected: "the blobs that its manifest names, because of --preserve-digest",
    hint: "Leave --preserve-digest out, or serve the image from a registry:2 container: --registry container.",
  });
}

async function saveMany(shelf: Shelf, options: EngineDepartureOptions): Promise<void> {
  const { engine, image, info, want, onlyPlatform, signal } = options;
  const archive = await engine.saveImage(image.given, { ...(onlyPlatform && { platform: info.platform }), signal });
  const saved = await readSavedImage(archive, {
    diffIds: info.diffIds,
    wanted: new Set(want.diffIds.filter((diffId) => !shelf.has(diffId))),
    onLayer: async (diffId, stream, { size }) => await shelf.pack(diffId, size, stream),
    signal,
  });
  const missing = want.diffIds.filter((diffId) => !shelf.has(diffId));
  if (missing.length === 0) return shelf.finish(saved.config);
  throw new Failure(
    "transfer-failed",
    `\`docker save\` of ${image.given} gave ${missing.length} layers less than the image has`,
    {
      expected: `all of the ${want.diffIds.length} layers that are wanted`,
      hint: "Serve the image from a registry:2 container instead: --registry container.",
    },
  );
}
