import { parseImages } from "../conversation/images.ts";
import { LOOK_UP_TIMEOUT, nextMessage } from "../conversation/next-message.ts";
import type { ImageName } from "../image/image-name.ts";
import type { SharedRequest } from "../request.ts";
import type { Conversation } from "../stdio-tunnel/conversation.ts";
import { ConversationOpener } from "../stdio-tunnel/conversations.ts";
import { abortable } from "../streams/abortable.ts";
import { useTunnel, type TunnelOptions } from "../stdio-tunnel/open.ts";
import type { Tunnel } from "../stdio-tunnel/session.ts";
import { explainError } from "../explain-error.ts";

export interface ReceiveImagesOptions<Image>
  extends Pick<TunnelOptions, "signal" | "failureForPeer">, Pick<SharedRequest, "timeout"> {
  /** Chooses the images to request from those that the sender has named. */
  imagesFor: (named: readonly ImageName[]) => readonly Image[];
  /** The sender may name further images, as often as it likes (feature MORE_IMAGES). */
  acceptsMore: boolean;
  /** Receives an image. The sender gets its failures. */
  receiveOne: (conversation: Conversation, image: Image, stop: AbortSignal) => Promise<void>;
  /** Called for an image that was not received. */
  onFailed?: (error: unknown, image: Image) => void;
}

/**
 * Receives images that the sender names, each in a conversation of its own, one after the other, and sends the end of the batch to the sender. A
 * failure ends only its conversation. Rejects when the tunnel ends or `signal` is aborted. Returns whether the sender has confirmed the end.
 */
export async function receiveImages<Image>(tunnel: Tunnel, options: ReceiveImagesOptions<Image>): Promise<boolean> {
  const { timeout = LOOK_UP_TIMEOUT, imagesFor, acceptsMore, receiveOne, onFailed, signal } = options;
  const conversations = new ConversationOpener(tunnel);
  let message = await nextMessage(tunnel, "images", { timeout, what: "list of images", stop: signal });
  for (;;) {
    const { images, more } = parseImages(message);
    for (const image of imagesFor(images)) {
      try {
        await useTunnel(conversations.open(), { ...options, explain: explainError }, async (conversation, stop) => {
          await receiveOne(conversation, image, stop);
        });
      } catch (error) {
        signal.throwIfAborted();
        tunnel.signal.throwIfAborted();
        onFailed?.(error, image);
      }
    }
    if (!more || !acceptsMore) return await tunnel.finish({});
    using _ = tunnel.rest();
    message = await abortable(tunnel.next("images"), signal);
  }
}
