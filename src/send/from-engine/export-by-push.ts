import type { Digest } from "../../image/digest.ts";
import { MEDIA_TYPE } from "../../image/manifest.ts";
import { familiarName } from "../../image/reference.ts";
import { pushByProgress } from "../../engine-push/push-by-progress.ts";
import type { EmbeddedRegistry } from "../../registry/embedded/server.ts";
import type { EngineOfferOptions } from "./engine-offer-options.ts";
import { pushWithDigests } from "./push-with-digests.ts";
import { addLayerFile } from "./add-layer-file.ts";
import type { OutgoingLayers } from "../outgoing-layers.ts";
import { historyStepsWithLayer } from "../../image/config.ts";

/**
 * The largest part of an image, in plain bytes, that a graph driver pushes. It gzips with one thread at 12 to 40 MB/s. `docker save`, in
 * contrast, first copies the whole image at 120 to 180 MB/s, and this process compresses it.
 */
const MAX_PUSHED_PART = 1 / 6;
/** Plain bytes that take no time with either method. */
const NEGLIGIBLE = 16_000_000;
/**
 * The maximum plain bytes for which other uploads are held back: an engine has five uploads at a time for all its pushes, and this holds up
 * to four.
 */
const MAX_WHILE_HOLDING = 500_000_000;

/**
 * Exports the wanted layers by letting the engine push them to the embedded registry: any number from a containerd store, a small part of
 * the image from other stores. Returns false if some of them are still missing.
 */
export async function exportByPush(
  registry: EmbeddedRegistry,
  outgoing: OutgoingLayers,
  options: EngineOfferOptions,
): Promise<boolean> {
  const { engineInfo, info, want } = options;
  if (engineInfo.store === "containerd") {
    return (await hasSpool(registry, outgoing)) && (await pushWithDigests(registry, outgoing, options, Infinity));
  }
  const config = await readConfig(options);
  if (config !== undefined && want.diffIds.length === 0) {
    outgoing.finish(config); // only the config differs, for example in a label
    return true;
  }
  const { wanted, all } = await plainSizes(options, config);
  const maxBytes = Math.max(all * MAX_PUSHED_PART, NEGLIGIBLE);
  if (wanted > maxBytes || !(await hasSpool(registry, outgoing))) return false;
  const mayHoldOthers = wanted <= MAX_WHILE_HOLDING && areTopmost(want.diffIds, info.diffIds);
  if (config !== undefined && mayHoldOthers) return await pushLayersByProgress(registry, outgoing, options, config);
  return await pushWithDigests(registry, outgoing, options, maxBytes);
}

/** Returns whether pushed layers can be written to files. */
async function hasSpool(registry: EmbeddedRegistry, outgoing: OutgoingLayers): Promise<boolean> {
  try {
    await registry.openSpool();
    return true;
  } catch (error) {
    return outgoing.continueWithoutSpool(error);
  }
}

/** Reads a graph driver's config through the engine's builder, because in a push the config arrives after all layers. */
async function readConfig({
  engine,
  engineInfo,
  image,
  info,
  signal,
}: EngineOfferOptions): Promise<Buffer | undefined> {
  if (engineInfo.store !== "graphdriver" || image.tag === undefined) return undefined;
  const named = { name: `${familiarName(image)}:${image.tag}`, id: info.id };
  return await engine.readConfig(named, engineInfo.version, signal);
}

/**
 * Returns whether the wanted layers are the topmost: a receiver on a graph driver lacks no others. The same layer can also occur further
 * down, because each `WORKDIR` creates the same empty layer.
 */
function areTopmost(wanted: readonly Digest[], all: readonly Digest[]): boolean {
  return all.slice(-wanted.length).join() === wanted.join();
}

/** Exports from a graph driver that knows no digests, for example of an image that was built and never pushed. */
async function pushLayersByProgress(
  registry: EmbeddedRegistry,
  outgoing: OutgoingLayers,
  { engine, image, want, runIds, signal, output }: EngineOfferOptions,
  config: Buffer,
): Promise<boolean> {
  let added = Promise.resolve();
  const missing = await pushByProgress(engine, image, new Set(want.diffIds), {
    registry,
    runIds,
    signal,
    onDetail: (detail) => output.detail(detail),
    onLayer(layer) {
      added = added.then(async () => await addLayerFile(outgoing, layer, MEDIA_TYPE.dockerLayerGzip));
      added.catch(() => {}); // awaited below
    },
  });
  await added;
  if (missing.size > 0) return false;
  outgoing.finish(config);
  return true;
}

/**
 * Returns the plain bytes of the wanted layers, and of all layers, from the image's history. The config shows which steps of the history
 * created a layer; without it, a step that created an empty layer looks like a step that created none. `wanted` is Infinity if the numbers
 * of steps and layers differ.
 */
async function plainSizes(
  { engine, image, info, want }: EngineOfferOptions,
  config: Buffer | undefined,
): Promise<{ wanted: number; all: number }> {
  const makesLayer = config && historyStepsWithLayer(config);
  const steps = await engine.stepSizes(image.given);
  const sizes = steps.filter((size, at) => (makesLayer === undefined ? size > 0 : makesLayer[at]));
  if (sizes.length !== info.diffIds.length) return { wanted: Number.POSITIVE_INFINITY, all: 0 };
  const sum = (diffIds: readonly Digest[]): number =>
    diffIds.reduce((all, diffId) => all + (sizes[info.diffIds.indexOf(diffId)] ?? 0), 0);
  return { wanted: sum(want.diffIds), all: sum(info.diffIds) };
}
