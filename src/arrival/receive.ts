import { REGISTRY_SERVICE, type AnnouncedLayer, type Offer } from "../conversation.ts";
import type { Digest } from "../image/digest.ts";
import type { Manifest } from "../image/manifest.ts";
import { RegistryClient } from "../registry/client.ts";
import type { Spool } from "../store/spool.ts";
import type { LayerFile } from "../store/store.ts";
import { queue, type Queue } from "../streams/queue.ts";
import type { ArrivalOptions } from "./arrival.ts";
import { fetchLayers } from "./fetch-layers.ts";
import { openOffer, type OpenedOffer } from "./open-offer.ts";

/** An image of which all is here that was missing. */
export interface Received extends OpenedOffer {
  /** The layers that have come, bottom first. */
  files: LayerFile[];
}

/** A client of the registry that the offer is in. Dispose of it. */
export function clientFor({ credentials }: Offer, { tunnel, signal }: ArrivalOptions): RegistryClient {
  return new RegistryClient({ connect: () => tunnel.connect(REGISTRY_SERVICE), credentials, signal });
}

/**
 * Asks for the layers `wanted`, bottom first, and brings them into the spool, proven. Those that the sender announces are
 * fetched while it still takes others out of its store; a registry that has everything says in its manifest what there is.
 */
export async function receive(options: ArrivalOptions, wanted: readonly Digest[], spool: Spool): Promise<Received> {
  const { about, signal, onProgress, maxSize } = options;
  const { offer, announced } = await options.obtain({ diffIds: [...wanted], whole: false, nothing: false });
  using client = clientFor(offer, options);
  const progress = { stage: "sending", current: 0, layers: { done: 0, total: new Set(wanted).size } };
  const fetching = {
    repository: offer.repository,
    signal,
    onBytes: (count: number) => {
      progress.current += count;
      onProgress(progress);
    },
    onLayer: () => progress.layers.done++,
    maxSize,
  };
  if (offer.announced) {
    const files = await fetchLayers(client, announced, wanted, spool, fetching);
    return { files, ...(await openOffer(client, offer, options)) };
  }
  const opened = await openOffer(client, offer, options);
  const layers = layersOf(opened.manifest, about.diffIds, wanted);
  return { files: await fetchLayers(client, layers, wanted, spool, fetching), ...opened };
}

/** The blobs of an image's wanted layers, each once. */
function layersOf({ layers }: Manifest, diffIds: readonly Digest[], wanted: readonly Digest[]): Queue<AnnouncedLayer> {
  const found = queue<AnnouncedLayer>();
  for (const diffId of new Set(wanted)) {
    const blob = layers[diffIds.indexOf(diffId)];
    if (blob !== undefined) found.push({ diffId, ...blob });
  }
  found.end();
  return found;
}
