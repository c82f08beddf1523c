import type { Digest } from "../image/digest.ts";
import type { Conversation } from "../stdio-tunnel/conversation.ts";
import { queue, type Queue } from "../streams/queue.ts";
import { malformed } from "./fields.ts";
import { parseLayer, type AnnouncedLayer } from "./messages.ts";

/** The wanted layers that the sender has announced. */
export interface LayerAnnouncements {
  /** Layers that can be fetched, in the order of their announcement. Ends after the last. */
  layers: Queue<AnnouncedLayer>;
  /** The layers among them that the sender can cut. Ends with `layers`. */
  cuttable: Queue<AnnouncedLayer>;
}

/**
 * Collects the sender's announcements until each layer of `wanted` has been announced. Call it before the sender can announce any layer. An
 * announcement of another layer ends the tunnel.
 */
export function receiveLayerAnnouncements(
  tunnel: Conversation,
  wanted: readonly Digest[],
  onAnnounced: (layer: AnnouncedLayer) => void = () => {},
): LayerAnnouncements {
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
    if (!open.delete(layer.diffId)) throw malformed("layer, which was not wanted");
    onAnnounced(layer);
    layers.push(layer);
    if (layer.cutting !== undefined) cuttable.push(layer);
    endIfAll();
  });
  return { layers, cuttable };
}
