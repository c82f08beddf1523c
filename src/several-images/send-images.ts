import type { Ask } from "../conversation/ask.ts";
import { imagesMessage } from "../conversation/images.ts";
import { receiveAsk } from "../push.ts";
import type { SharedRequest } from "../request.ts";
import type { Conversation } from "../stdio-tunnel/conversation.ts";
import { acceptConversations } from "../stdio-tunnel/conversations.ts";
import type { NumberedConversation } from "../stdio-tunnel/numbered-conversation.ts";
import { useTunnel, type TunnelOptions } from "../stdio-tunnel/open.ts";
import type { Tunnel } from "../stdio-tunnel/session.ts";
import { explainError } from "../explain-error.ts";

export interface SendImageOptions
  extends Pick<TunnelOptions, "signal" | "failureForPeer">, Pick<SharedRequest, "timeout"> {
  /** Sends an image. The receiver gets its failures. */
  sendOne: (conversation: Conversation, ask: Ask, stop: AbortSignal) => Promise<void>;
  /** Called for an image that was not sent. `ask`: undefined if the receiver has not requested one. */
  onFailed?: (error: unknown, ask: Ask | undefined) => void;
}

export interface SendImagesOptions extends SendImageOptions {
  /** Names of the images, for a receiver without names of its own. */
  names: readonly string[];
}

/**
 * Names images to the receiver, and sends those that it requests, each in a conversation of its own, until the receiver has finished. A
 * failure ends only its conversation. Rejects when the tunnel ends or `signal` is aborted.
 */
export async function sendImages(tunnel: Tunnel, options: SendImagesOptions): Promise<void> {
  await tunnel.send(imagesMessage(options.names));
  for await (const conversation of acceptConversations(tunnel)) await sendImage(tunnel, conversation, options);
}

/** Sends the image that the receiver requests in a conversation. Rejects only when the tunnel ends or `signal` is aborted. */
export async function sendImage(
  tunnel: Tunnel,
  conversation: NumberedConversation,
  options: SendImageOptions,
): Promise<void> {
  const { sendOne, onFailed, signal } = options;
  let ask: Ask | undefined;
  try {
    await useTunnel(conversation, { ...options, explain: explainError }, async (_, stop) => {
      ask = await receiveAsk(conversation, options, stop);
      await sendOne(conversation, ask, stop);
    });
  } catch (error) {
    signal.throwIfAborted();
    tunnel.signal.throwIfAborted();
    onFailed?.(error, ask);
  }
}
