import { receiveLayerAnnouncements } from "../conversation/layer-announcements.ts";
import { parseOffer, wantMessage, type Want } from "../conversation/messages.ts";
import { abortable } from "../streams/abortable.ts";
import type { OfferedLayers, ReceiveOptions, Wanted } from "./receive-options.ts";

export interface WantLayersOptions {
  packing: Pick<Want, "codecs" | "compress">;
  /** Called with the number of missing layers before each `want`; undefined if the engine determines them by itself. */
  onWant: (missing: number | undefined) => void;
  signal: AbortSignal;
}

/** Returns the functions by which a target requests layers from the sender. */
export function wantLayers(
  tunnel: ReceiveOptions["tunnel"],
  { packing, onWant, signal }: WantLayersOptions,
): Pick<ReceiveOptions, "decline" | "obtain"> {
  let unread: Promise<unknown> | undefined;
  return {
    async decline() {
      unread = tunnel.next("offer"); // the offer of nothing
      unread.catch(() => {});
      onWant(0);
      await tunnel.send(wantMessage({ kind: "nothing", ...packing }));
    },
    async obtain(want: Wanted, onAnnounced): Promise<OfferedLayers> {
      await unread;
      onWant(want.kind === "image" ? undefined : want.diffIds.length);
      const announced = receiveLayerAnnouncements(tunnel, want.diffIds, onAnnounced);
      await tunnel.send(wantMessage({ ...want, ...packing }));
      const offer = parseOffer(await abortable(tunnel.next("offer"), signal));
      return { offer, ...announced };
    },
  };
}
