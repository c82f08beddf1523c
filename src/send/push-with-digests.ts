import type { Readable } from "node:stream";
import type { Digest } from "../image/digest.ts";
import type { Descriptor } from "../image/manifest.ts";
import type { Reference } from "../image/reference.ts";
import { Failure } from "../output/errors.ts";
import { probeImage, type UploadedLayer } from "../engine-push/probe-image.ts";
import { pushSelected } from "../engine-push/push-selected.ts";
import type { ByteRange } from "../registry/embedded/registry-content.ts";
import type { EmbeddedRegistry } from "../registry/embedded/server.ts";
import { deferred, type Deferred } from "../streams/deferred.ts";
import type { EngineOfferOptions } from "./found-image.ts";
import { addPushedLayer } from "./add-pushed-layer.ts";
import type { OutgoingBlobs } from "./outgoing-blobs.ts";

/**
 * Of an engine that knows the digests of what is not wanted: what it would push is learnt first. What a containerd store will push is
 * known before it comes: the receiver is told of it at once, and fetches the lowest first.
 */
export async function pushWithDigests(
  registry: EmbeddedRegistry,
  outgoing: OutgoingBlobs,
  options: EngineOfferOptions,
  maxBytes: number,
): Promise<boolean> {
  const { engine, image, info, want, runs, onlyPlatform, signal, output } = options;
  const wanted = new Set(want.diffIds);
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
  const probed = await probeImage(engine, image, { ...common, info, wanted, maxBytes });
  if (probed === undefined) return false;
  const mediaTypes = new Map(probed.layers.map(({ diffId, mediaType }) => [diffId, mediaType]));
  const promised = new Map<Digest, Deferred<UploadedLayer>>();
  // One after the other: packing alone keeps all cores busy.
  let added = Promise.resolve();
  const put = (layer: UploadedLayer): void => {
    const awaited = promised.get(layer.diffId);
    if (awaited !== undefined) return awaited.resolve(layer);
    added = added.then(async () => await addPushedLayer(outgoing, layer, mediaTypes.get(layer.diffId) ?? ""));
    added.catch(() => {}); // awaited below
  };
  for (const layer of probed.uploaded) put(layer);
  const uploaded = new Set(probed.uploaded.map(({ diffId }) => diffId));
  const rest = probed.layers.filter(({ diffId }) => wanted.has(diffId) && !uploaded.has(diffId));
  // A containerd store's blobs are known before they come: the receiver is told of all, and fetches the lowest first.
  for (const layer of rest) {
    if (layer.size !== undefined && layer.digest !== layer.diffId)
      await promise(outgoing, promised, { ...layer, size: layer.size });
  }
  const digests = new Set(rest.map(({ digest }) => digest));
  try {
    if (digests.size > 0) await pushSelected(engine, image, probed, digests, { ...common, onLayer: put });
  } finally {
    for (const { reject } of promised.values()) reject(brokenPromise(image, said));
  }
  await added;
  for (const { promise: layer } of promised.values()) await layer;
  // What did not come: the engine would not, or the name was given to another image in the meantime.
  if (want.diffIds.some((diffId) => !outgoing.has(diffId))) return false;
  outgoing.finish(probed.config);
  return true;
}

async function promise(
  outgoing: OutgoingBlobs,
  promised: Map<Digest, Deferred<UploadedLayer>>,
  { diffId, mediaType, digest, size }: Descriptor & { diffId: Digest },
): Promise<void> {
  if (outgoing.has(diffId)) return;
  const layer = deferred<UploadedLayer>();
  layer.promise.catch(() => {}); // heard by whoever reads it, and at the end
  promised.set(diffId, layer);
  const open = async (range?: ByteRange): Promise<Readable> => (await layer.promise).open(range);
  await outgoing.keep(diffId, { mediaType, digest, size }, { size, open });
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
