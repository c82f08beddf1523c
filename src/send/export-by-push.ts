import type { Digest } from "../image/digest.ts";
import { MEDIA_TYPE } from "../image/manifest.ts";
import { familiarName } from "../image/reference.ts";
import { pushByProgress } from "../engine-push/push-by-progress.ts";
import type { EmbeddedRegistry } from "../registry/embedded/server.ts";
import type { EngineOfferOptions } from "./found-image.ts";
import { pushWithDigests } from "./push-with-digests.ts";
import { addPushedLayer } from "./add-pushed-layer.ts";
import type { OutgoingBlobs } from "./outgoing-blobs.ts";
import { historyStepsWithLayer } from "../image/config.ts";

/**
 * The part of an image, uncompressed, up to which a graph driver is let push. It gzips with one thread, 12 to 40 MB/s, where
 * `docker save` copies the whole image first, 120 to 180 MB/s, and is compressed here.
 */
const PUSH_AT_MOST = 1 / 6;
/** Bytes that take no time in either way. */
const FEW = 16_000_000;
/** Bytes for which others are held: an engine has five uploads at once for all that it pushes, and those take up to four. */
const HOLD_AT_MOST = 500_000_000;

/** Puts the wanted layers on the shelf that the engine pushes: all of them, or few. False when not all of them came so. */
export async function exportByPush(
  registry: EmbeddedRegistry,
  outgoing: OutgoingBlobs,
  options: EngineOfferOptions,
): Promise<boolean> {
  const { engineInfo, info, want } = options;
  if (engineInfo.store === "containerd") {
    return (await hasPlace(registry, outgoing)) && (await pushWithDigests(registry, outgoing, options, Infinity));
  }
  const config = await configOf(options);
  if (config !== undefined && want.diffIds.length === 0) {
    outgoing.finish(config); // some other label, and nothing else
    return true;
  }
  const { wanted, all } = await sizesOf(options, config);
  const most = Math.max(all * PUSH_AT_MOST, FEW);
  if (wanted > most || !(await hasPlace(registry, outgoing))) return false;
  const isQuick = wanted <= HOLD_AT_MOST && areTopmost(want.diffIds, info.diffIds);
  if (config !== undefined && isQuick) return await pushByLayerProgress(registry, outgoing, options, config);
  return await pushWithDigests(registry, outgoing, options, most);
}

/** What is pushed waits in files. */
async function hasPlace(registry: EmbeddedRegistry, outgoing: OutgoingBlobs): Promise<boolean> {
  try {
    await registry.prepare();
    return true;
  } catch (error) {
    return outgoing.continueWithoutSpool(error);
  }
}

/** Where the engine tells it without being let push. */
async function configOf({ engine, engineInfo, image, info, signal }: EngineOfferOptions): Promise<Buffer | undefined> {
  if (engineInfo.store !== "graphdriver" || image.tag === undefined) return undefined;
  const named = { name: `${familiarName(image)}:${image.tag}`, id: info.id };
  return await engine.readConfig(named, engineInfo.version, signal);
}

/**
 * Are these the topmost layers? A receiver on a graph driver lacks no others. The lowest of them may stand further below as well: each
 * `WORKDIR` makes the same layer of nothing.
 */
function areTopmost(wanted: readonly Digest[], all: readonly Digest[]): boolean {
  return all.slice(-wanted.length).join() === wanted.join();
}

/** Of a graph driver, whose config has been learnt in another way: it comes last in a push, after all layers. */
async function pushByLayerProgress(
  registry: EmbeddedRegistry,
  outgoing: OutgoingBlobs,
  { engine, image, want, runs, signal, output }: EngineOfferOptions,
  config: Buffer,
): Promise<boolean> {
  let added = Promise.resolve();
  const missing = await pushByProgress(engine, image, new Set(want.diffIds), {
    registry,
    runs,
    signal,
    onDetail: (text) => output.detail(text),
    onLayer(layer) {
      added = added.then(async () => await addPushedLayer(outgoing, layer, MEDIA_TYPE.dockerLayerGzip));
      added.catch(() => {}); // awaited below
    },
  });
  await added;
  if (missing.size > 0) return false;
  outgoing.finish(config);
  return true;
}

/**
 * Uncompressed bytes of the wanted layers, and of all: the history's, whose steps made a layer each, or none. Without the config,
 * which says so, one that made a layer of nothing cannot be told from one that made none. Infinity when it does not fit.
 */
async function sizesOf(
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
