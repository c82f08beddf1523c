import type { Digest } from "../image/digest.ts";
import type { Tunnel } from "../stdio-tunnel/session.ts";
import { queue, type Queue } from "../streams/queue.ts";
import { malformed } from "./fields.ts";
import { parseLayer, type AnnouncedLayer } from "./messages.ts";

/** What the sender tells of the layers that were asked for. */
export interface LayerAnnouncements {
  /** Those that can be fetched, until all have been told, in any order. */
  layers: Queue<AnnouncedLayer>;
  /** Those of them that the sender can cut. Ends with `layers`. */
  cuttable: Queue<AnnouncedLayer>;
}

/**
 * Hears what the sender announces, until all of `wanted` can be fetched: each of them once. Begin before the sender can announce
 * any. Another layer ends the tunnel.
 */
export function hearLayerAnnouncements(tunnel: Tunnel, wanted: readonly Digest[]): LayerAnnouncements {
  const open = new Set(wanted);
  const [layers, cuttable] = [queue<AnnouncedLayer>(), queue<AnnouncedLayer>()];
  const endIfAll = (): void => {
    if (open.size > 0) return;
    layers.end();
    cuttable.end();
  };
  endIfAll();
  tunnel.on("layer", (message) => {
    const layer = parseLayer(message);
    if (!open.delete(layer.diffId)) throw malformed("layer, which was not asked for");
    layers.push(layer);
    if (layer.cutting !== undefined) cuttable.push(layer);
    endIfAll();
  });
  return { layers, cuttable };
}
