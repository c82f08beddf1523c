import { decodeLayer } from "../image/archive/decode-layer.ts";
import type { Digest } from "../image/digest.ts";
import type { Descriptor } from "../image/manifest.ts";
import type { Reference } from "../image/reference.ts";
import { Failure } from "../output/errors.ts";
import { probeImage, type UploadedLayer } from "../registry/embedded/probe.ts";
import { pushWanted } from "../registry/embedded/push-wanted.ts";
import type { EmbeddedRegistry } from "../registry/embedded/server.ts";
import { deferred, type Deferred } from "../streams/deferred.ts";
import type { EngineDepartureOptions } from "./departure.ts";
import type { Shelf } from "./shelf.ts";

/**
 * Uncompressed bytes up to which a graph driver is let push. It gzips with one thread, 12 to 40 MB/s, where `docker save`
 * copies the whole image first, 120 to 180 MB/s, and is compressed here: for an image of 1.2 GB the two meet near 200 MB, for
 * a small one earlier.
 */
const PUSH_AT_MOST = 64_000_000;

/**
 * Puts the wanted layers on the shelf that the engine pushes: all of them, or few. False when not all of them came so.
 *
 * What a containerd store will push is known before it comes: the receiver is told of it at once, and fetches the lowest first.
 */
export async function pushFew(
  registry: EmbeddedRegistry,
  shelf: Shelf,
  options: EngineDepartureOptions,
): Promise<boolean> {
  const { engine, engineInfo, image, info, want, runs, onlyPlatform, signal, output } = options;
  const wanted = new Set(want.diffIds);
  if (engineInfo.store !== "containerd" && (await sizeOf(options, want.diffIds)) > PUSH_AT_MOST) return false;
  let said = "it said nothing";
  const common = {
    registry,
    runs,
    signal,
    ...(onlyPlatform && { platform: info.platform }),
    onDetail: (text: string) => {
      said = text;
      output.detail(text);
    },
  };
  const probed = await probeImage(engine, image, { ...common, info, wanted, maxBytes: PUSH_AT_MOST });
  if (probed === undefined) return false;
  const mediaTypes = new Map(probed.layers.map(({ diffId, mediaType }) => [diffId, mediaType]));
  const promised = new Map<Digest, Deferred<UploadedLayer>>();
  // One after the other: packing alone keeps all cores busy.
  let shelved = Promise.resolve();
  const put = (layer: UploadedLayer): void => {
    const awaited = promised.get(layer.diffId);
    if (awaited !== undefined) return awaited.resolve(layer);
    shelved = shelved.then(async () => await shelve(shelf, layer, mediaTypes.get(layer.diffId) ?? ""));
    shelved.catch(() => {}); // awaited below
  };
  for (const layer of probed.uploaded) put(layer);
  const uploaded = new Set(probed.uploaded.map(({ diffId }) => diffId));
  const rest = probed.layers.filter(({ diffId }) => wanted.has(diffId) && !uploaded.has(diffId));
  // A containerd store's blobs are known before they come: the receiver is told of all, and fetches the lowest first.
  for (const layer of rest) {
    if (layer.size !== undefined && layer.digest !== layer.diffId && !shelf.cuts({ ...layer, size: layer.size }))
      promise(shelf, promised, { ...layer, size: layer.size });
  }
  const digests = new Set(rest.map(({ digest }) => digest));
  try {
    if (digests.size > 0) await pushWanted(engine, image, probed, digests, { ...common, onLayer: put });
  } finally {
    for (const { reject } of promised.values()) reject(brokenPromise(image, said));
  }
  await shelved;
  for (const { promise: layer } of promised.values()) await layer;
  // What did not come: the engine would not, or the name was given to another image in the meantime.
  if (want.diffIds.some((diffId) => !shelf.has(diffId))) return false;
  shelf.finish(probed.config);
  return true;
}

function promise(
  shelf: Shelf,
  promised: Map<Digest, Deferred<UploadedLayer>>,
  { diffId, mediaType, digest, size }: Descriptor & { diffId: Digest },
): void {
  if (shelf.has(diffId)) return;
  const layer = deferred<UploadedLayer>();
  layer.promise.catch(() => {}); // heard by whoever reads it, and at the end
  promised.set(diffId, layer);
  shelf.keep(diffId, { mediaType, digest, size }, { size, open: async (range) => (await layer.promise).open(range) });
}

function brokenPromise(image: Reference, why: string): Failure {
  return new Failure(
    "transfer-failed",
    `the engine did not push all layers of ${image.given} that it said it has (${why})`,
    {
      expected: "the layers that its manifest names",
      hint: "Run the same command again; if it happens again, serve the image from a registry:2 container: --registry container.",
    },
  );
}

/** A layer that the engine has pushed. What it pushed plain, as a containerd store may have it, is packed for the way. */
async function shelve(shelf: Shelf, layer: UploadedLayer, mediaType: string): Promise<void> {
  const { diffId, digest, size } = layer;
  if (shelf.has(diffId)) return await layer.remove();
  if (shelf.cuts({ size, mediaType }) && digest !== diffId) {
    await shelf.cut(diffId, decodeLayer(await layer.open(), mediaType));
    return await layer.remove();
  }
  if (digest !== diffId) return shelf.keep(diffId, { mediaType, digest, size }, layer);
  await shelf.pack(diffId, size, await layer.open());
  await layer.remove();
}

/** Uncompressed bytes of some layers: those of the image's history that made any, in its order. Infinity when it does not fit. */
async function sizeOf({ engine, image, info }: EngineDepartureOptions, diffIds: readonly Digest[]): Promise<number> {
  const sizes = await engine.layerSizes(image.given);
  if (sizes.length !== info.diffIds.length) return Number.POSITIVE_INFINITY;
  return diffIds.reduce((all, diffId) => all + (sizes[info.diffIds.indexOf(diffId)] ?? 0), 0);
}
