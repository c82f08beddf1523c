import { REGISTRY_SERVICE, type AnnouncedLayer, type Offer } from "../conversation/messages.ts";
import type { Digest } from "../image/digest.ts";
import { sizeLimit } from "../image/layer/size-limit.ts";
import type { Manifest } from "../image/manifest.ts";
import type { WholeReason } from "../output/details.ts";
import { DeltaChoice, type RebuildSpeed } from "../rebuild/delta-choice.ts";
import type { DeltaBases } from "../rebuild/delta-bases.ts";
import { LinkRate } from "../rebuild/link-rate.ts";
import { RegistryClient } from "../registry/registry-client.ts";
import { memoize } from "../streams/memoize.ts";
import { queue, type Queue } from "../streams/queue.ts";
import { FetchProgress } from "./fetch-progress.ts";
import type { FetchOptions } from "./incoming-layer.ts";
import { readImageMetadata, type ImageMetadata } from "./read-image-metadata.ts";
import { namedBlobs, type ReceiveOptions } from "./receive-options.ts";

/** The requested layers. Dispose of this when they have been fetched. */
export interface RequestedLayers extends Disposable {
  /** Each wanted layer once, as soon as it can be fetched. */
  layers: Queue<AnnouncedLayer>;
  /** The layers among them that the sender can cut. */
  cuttable: Queue<AnnouncedLayer>;
  /** Returns the choice between whole and by delta for the cuttable layers. */
  deltaChoice: (speed: RebuildSpeed) => DeltaChoice;
  fetch: FetchOptions;
  /** Measures the link. */
  rate: LinkRate;
  /** See `Offer`. */
  isUnread: boolean;
  /** Returns manifest and config, which may be available only after the last layer has been fetched. */
  metadata: () => Promise<ImageMetadata>;
}

/** Returns a client of the registry of an offer. The caller disposes of it. */
export function clientFor({ credentials }: Offer, { tunnel, signal }: ReceiveOptions): RegistryClient {
  return new RegistryClient({ connect: () => tunnel.connect(REGISTRY_SERVICE), credentials, signal });
}

/**
 * Requests missing layers from the sender. The sender announces each layer when it can be fetched, while it exports others. Alternatively
 * it has all layers in a registry, whose manifest names them.
 *
 * @param wanted diff IDs, bottom first
 * @param deltaBases the delta bases with which layers may be sent by delta
 */
export async function requestLayers(
  options: ReceiveOptions,
  wanted: readonly Digest[],
  deltaBases: DeltaBases | undefined,
): Promise<RequestedLayers> {
  const delta = deltaBases !== undefined;
  const reportWhole = (reason: WholeReason): void => {
    if (wanted.length > 0) options.output.detail({ code: "all-whole", reason });
  };
  if (!delta) reportWhole(options.noDeltaReason ?? "no-similar-image");
  const begun = (await options.resumeCache?.findPartial(wanted)) ?? [];
  const progress = new FetchProgress(new Set(wanted).size, options.onProgress);
  const { offer, layers, cuttable } = await options.obtain({ kind: "layers", diffIds: wanted, begun, delta }, (layer) =>
    progress.announce(layer),
  );
  if (delta && offer.layers !== "announced") reportWhole("served-from-registry");

  const isUnread = offer.layers === "unread";
  const client = clientFor(offer, options);
  const rate = linkRate(client, offer, options);
  const metadata = memoize(async () => await readImageMetadata(client, offer, options));
  if (!isUnread && options.about.index === undefined) metadata().catch(() => {}); // requested early, which saves a round trip after the last layer; the caller handles the error
  const common = {
    cuttable,
    deltaChoice: (speed: RebuildSpeed) => deltaChoice(speed, rate, options),
    fetch: fetchOptions(client, offer, progress, rate, options),
    rate,
    isUnread,
    metadata,
    [Symbol.dispose]: () => client[Symbol.dispose](),
  };
  if (offer.layers !== "available") return { ...common, layers };
  try {
    const { manifest } = await metadata();
    return { ...common, layers: layersInManifest(manifest, options.about.diffIds, wanted, progress) };
  } catch (error) {
    client[Symbol.dispose]();
    throw error;
  }
}

function linkRate(
  client: RegistryClient,
  { repository }: Offer,
  { tunnel, signal, bwlimit }: ReceiveOptions,
): LinkRate {
  return new LinkRate({
    bytesReceived: () => tunnel.bytesReceived,
    probe: async (count, late) => await client.probe(repository, count, AbortSignal.any([signal, late])),
    limit: bwlimit,
  });
}

function deltaChoice(speed: RebuildSpeed, rate: LinkRate, { delta, resumeCache, output }: ReceiveOptions): DeltaChoice {
  return new DeltaChoice({
    always: delta === "always",
    speed,
    rate,
    resumed: async ({ diffId, digest }) => ({
      whole: (await resumeCache?.bytesOf(digest)) ?? 0,
      byDelta: (await resumeCache?.bytesOfPartialRebuild(diffId)) ?? 0,
    }),
    onDetail: (detail) => output.detail(detail),
  });
}

function fetchOptions(
  client: RegistryClient,
  { repository }: Offer,
  progress: FetchProgress,
  rate: LinkRate,
  { about, signal, resumeCache, output, maxSize }: ReceiveOptions,
): FetchOptions {
  return {
    client,
    repository,
    signal,
    resumeCache,
    named: namedBlobs(about),
    onBytes: () => rate.note(),
    onStart: (layer, bytesPresent) => {
      progress.startWhole(layer, bytesPresent);
      if (bytesPresent === 0) return;
      output.detail({ code: "layer-continued", digest: layer.digest, bytesPresent, bytes: layer.size });
    },
    progress,
    limit: sizeLimit(maxSize),
  };
}

/** Returns the wanted layers of a manifest, each once. */
function layersInManifest(
  { layers }: Manifest,
  diffIds: readonly Digest[],
  wanted: readonly Digest[],
  progress: FetchProgress,
): Queue<AnnouncedLayer> {
  const found = queue<AnnouncedLayer>();
  for (const diffId of new Set(wanted)) {
    const blob = layers[diffIds.indexOf(diffId)];
    if (blob === undefined) continue;
    progress.announce({ diffId, ...blob });
    found.push({ diffId, ...blob });
  }
  found.end();
  return found;
}
