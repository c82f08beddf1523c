import type { Digest } from "../image/digest.ts";
import type { Tunnel } from "../stdio-tunnel/session.ts";
import { queue, type Queue } from "../streams/queue.ts";
import { DIGEST, malformed, matching } from "./fields.ts";
import { parseLayer, type AnnouncedLayer } from "./messages.ts";

/** What the sender tells of the layers that were asked for. */
export interface Announcements {
  /** Those that can be fetched, until all have been told, in any order. */
  layers: Queue<AnnouncedLayer>;
  /** Before that, those that are being cut: of what they are made can be read already. Ends with the others. */
  cutting: Queue<Digest>;
}

/**
 * Hears what the sender announces, until all of `wanted` can be fetched: each of them once. Begin before the sender can announce
 * any. Another layer ends the tunnel.
 */
export function hearLayers(tunnel: Tunnel, wanted: readonly Digest[]): Announcements {
  const open = new Set(wanted);
  const begun = new Set<Digest>();
  const [layers, cutting] = [queue<AnnouncedLayer>(), queue<Digest>()];
  const endIfAll = (): void => {
    if (open.size > 0) return;
    layers.end();
    cutting.end();
  };
  endIfAll();
  tunnel.on("cutting", ({ diffId }) => {
    const digest = matching(diffId, DIGEST);
    if (!open.has(digest) || begun.has(digest)) throw malformed("cutting, of a layer which was not asked for");
    begun.add(digest);
    cutting.push(digest);
  });
  tunnel.on("layer", (message) => {
    const layer = parseLayer(message);
    if (!open.delete(layer.diffId)) throw malformed("layer, which was not asked for");
    layers.push(layer);
    endIfAll();
  });
  return { layers, cutting };
}
