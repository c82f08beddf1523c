import { Readable } from "node:stream";
import type { Digest } from "../image/digest.ts";
import { readSavedImage } from "../image/archive/read-saved-image.ts";
import type { Descriptor } from "../image/manifest.ts";
import type { StoredBlob } from "../registry/embedded/content.ts";
import { probeImage, type UploadedLayer } from "../registry/embedded/probe.ts";
import { pushWanted } from "../registry/embedded/push-wanted.ts";
import type { EmbeddedRegistry } from "../registry/embedded/server.ts";
import { Failure } from "../output/errors.ts";
import type { Spool } from "../store/spool.ts";
import type { EngineDepartureOptions } from "./departure.ts";
import { LayerFolder } from "./layer-folder.ts";

/** A wanted layer, ready to be sent. */
export interface CollectedLayer {
  /** Of the blob as the receiver gets it in hand. */
  descriptor: Descriptor;
  blob: StoredBlob;
}

export interface Collected {
  config: { bytes: Buffer; blob: StoredBlob };
  layers: Map<Digest, CollectedLayer>;
}

/**
 * Uncompressed bytes up to which a graph driver is let push. It gzips with one thread, 12 to 40 MB/s, where `docker save`
 * copies the whole image first, 120 to 180 MB/s, and is compressed here: for an image of 1.2 GB the two meet near 200 MB, for
 * a small one earlier.
 */
const PUSH_AT_MOST = 64_000_000;

/**
 * Takes the wanted layers out of the engine in the cheaper of two ways: the engine pushes just them (a moment, for few bytes,
 * and for any number on a containerd store, which has them as blobs), or `docker save` is read as it streams, and the others pass.
 */
export async function collectLayers(
  registry: EmbeddedRegistry,
  spool: Spool,
  options: EngineDepartureOptions,
): Promise<Collected> {
  const folder = new LayerFolder(spool);
  const { want, output, onProgress } = options;
  onProgress({ stage: "preparing", current: 0, layers: { done: 0, total: want.diffIds.length } });
  const pushed = await pushFew(registry, folder, options);
  if (pushed !== undefined) return pushed;
  output.detail("reading `docker save` for the layers that are wanted");
  return await saveMany(folder, options);
}

async function pushFew(
  registry: EmbeddedRegistry,
  folder: LayerFolder,
  options: EngineDepartureOptions,
): Promise<Collected | undefined> {
  const { engine, engineInfo, image, info, want, runs, onlyPlatform, signal, output } = options;
  const wanted = new Set(want.diffIds);
  const isTooMuch = async (diffIds: readonly Digest[]): Promise<boolean> =>
    engineInfo.store !== "containerd" && (await sizeOf(options, diffIds)) > PUSH_AT_MOST;
  if (await isTooMuch(want.diffIds)) return undefined;
  const common = {
    registry,
    runs,
    signal,
    ...(onlyPlatform && { platform: info.platform }),
    onDetail: (text: string) => output.detail(text),
  };
  const probed = await probeImage(engine, image, { ...common, wanted, maxBytes: PUSH_AT_MOST });
  if (probed === undefined) return undefined;
  const uploaded = new Map<Digest, UploadedLayer>(probed.uploaded.map((layer) => [layer.diffId, layer]));
  const rest = probed.layers.filter(({ diffId }) => wanted.has(diffId) && !uploaded.has(diffId));
  if (rest.length > 0) {
    const digests = new Set(rest.map(({ digest }) => digest));
    const missed = await pushWanted(engine, image, probed, digests, {
      ...common,
      onLayer: (layer) => void uploaded.set(layer.diffId, layer),
    });
    if (missed.size > 0) return undefined;
  }
  const layers = new Map<Digest, CollectedLayer>();
  for (const { diffId, mediaType } of probed.layers) {
    const layer = uploaded.get(diffId);
    if (layer !== undefined && !layers.has(diffId)) layers.set(diffId, await folder.keep(layer, mediaType));
  }
  // The name may have been given to another image in the meantime: what was read then is not what was wanted.
  if (want.diffIds.some((diffId) => !layers.has(diffId))) return undefined;
  return { config: configOf(probed.config), layers };
}

/** Uncompressed bytes of some layers: those of the image's history that made any, in its order. Infinity when it does not fit. */
async function sizeOf({ engine, image, info }: EngineDepartureOptions, diffIds: readonly Digest[]): Promise<number> {
  const sizes = await engine.layerSizes(image.given);
  if (sizes.length !== info.diffIds.length) return Number.POSITIVE_INFINITY;
  return diffIds.reduce((all, diffId) => all + (sizes[info.diffIds.indexOf(diffId)] ?? 0), 0);
}

async function saveMany(folder: LayerFolder, options: EngineDepartureOptions): Promise<Collected> {
  const { engine, image, info, want, onlyPlatform, signal, onProgress } = options;
  const archive = await engine.saveImage(image.given, { ...(onlyPlatform && { platform: info.platform }), signal });
  const layers = new Map<Digest, CollectedLayer>();
  const progress = { stage: "preparing", current: 0, layers: { done: 0, total: want.diffIds.length } };
  const take = async (diffId: Digest, stream: Readable): Promise<void> => {
    stream.on("data", (chunk: Buffer) => {
      progress.current += chunk.length;
      onProgress(progress);
    });
    layers.set(diffId, await folder.pack(diffId, stream));
    progress.layers.done++;
  };
  const saved = await readSavedImage(archive, {
    diffIds: info.diffIds,
    wanted: new Set(want.diffIds),
    onLayer: take,
    signal,
  });
  const missing = want.diffIds.filter((diffId) => !layers.has(diffId));
  if (missing.length === 0) return { config: configOf(saved.config), layers };
  throw new Failure(
    "transfer-failed",
    `\`docker save\` of ${image.given} gave ${missing.length} layers less than the image has`,
    {
      expected: `all of the ${want.diffIds.length} layers that are wanted`,
      hint: "Serve the image from a registry:2 container instead: --registry container.",
    },
  );
}

function configOf(bytes: Buffer): Collected["config"] {
  return { bytes, blob: { size: bytes.length, open: () => Readable.from([bytes], { objectMode: false }) } };
}
