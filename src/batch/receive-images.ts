import { parseImages } from "../conversation/images.ts";
import { LOOK_UP_TIMEOUT, nextMessage } from "../conversation/next-message.ts";
import type { ImageName } from "../image/image-name.ts";
import type { SharedRequest } from "../request.ts";
import type { Conversation } from "../stdio-tunnel/conversation.ts";
import { ConversationOpener } from "../stdio-tunnel/conversations.ts";
import { useTunnel, type TunnelOptions } from "../stdio-tunnel/open.ts";
import type { Tunnel } from "../stdio-tunnel/session.ts";
import { explainError } from "../explain-error.ts";

/** Receives the names of the images that the sender has. */
export async function receiveNames(
  tunnel: Tunnel,
  { timeout = LOOK_UP_TIMEOUT }: Pick<SharedRequest, "timeout">,
  stop: AbortSignal,
): Promise<readonly ImageName[]> {
  return parseImages(await nextMessage(tunnel, "images", { timeout, what: "list of images", stop }));
}

export interface ReceiveImagesOptions<Image> extends Pick<TunnelOptions, "signal" | "failureForPeer"> {
  images: readonly Image[];
  /** Receives an image. Its failures are told to the sender. */
  receiveOne: (conversation: Conversation, image: Image, stop: AbortSignal) => Promise<void>;
  /** Called for an image that was not received. */
  onFailed?: (error: unknown, image: Image) => void;
}

/**
 * Receives images, each in a conversation of its own, one after the other, and tells the sender that these were all. A failure ends only
 * its conversation; rejects when the tunnel ends, or `signal` is aborted. Returns whether the sender has confirmed the end.
 */
export async function receiveImages<Image>(tunnel: Tunnel, options: ReceiveImagesOptions<Image>): Promise<boolean> {
  const { images, receiveOne, onFailed, signal } = options;
  const conversations = new ConversationOpener(tunnel);
  for (const image of images) {
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
  return await tunnel.finish({});
}
