import type { PushedImages } from "../several-images/pushed-images.ts";
import { sendImage } from "../several-images/send-images.ts";
import { imagesMessage } from "../conversation/images.ts";
import type { PushRequest } from "../request.ts";
import { acceptConversations } from "../stdio-tunnel/conversations.ts";
import { linkLost } from "../stdio-tunnel/failures.ts";
import type { Tunnel } from "../stdio-tunnel/session.ts";
import type { DividedTraffic } from "../traffic.ts";
import { failureForPeer } from "../transfer.ts";
import { isLinkFailure } from "./link-failures.ts";

/** Sends groups of images over one tunnel, one after the other, to a peer that accepts further groups. */
export class GroupSender {
  readonly #tunnel: Tunnel;
  readonly #request: PushRequest;
  readonly #stop: AbortSignal;
  readonly #traffic: DividedTraffic;
  readonly #conversations: ReturnType<typeof acceptConversations>;

  /** @param request any of the requests, used for the options that they share */
  constructor(tunnel: Tunnel, request: PushRequest, stop: AbortSignal, traffic: DividedTraffic) {
    this.#tunnel = tunnel;
    this.#request = request;
    this.#stop = stop;
    this.#traffic = traffic;
    // Each conversation is for an image that this side has named, so their number needs no limit.
    this.#conversations = acceptConversations(tunnel, Infinity);
  }

  /**
   * Names the images of a group, and sends each in a conversation. A failed image does not stop the others, but a failure of the link or of
   * an engine rejects the promise. Without a group, tells the peer to expect images later.
   */
  async send(images?: PushedImages): Promise<void> {
    await this.#tunnel.send(imagesMessage(images?.names ?? [], true));
    if (images === undefined) return;
    for (const _ of images.names) {
      const { value: conversation } = await this.#conversations.next();
      if (conversation === undefined) throw linkLost(); // the peer has ended the batch, although this side can send further images
      await sendImage(this.#tunnel, conversation, {
        timeout: this.#request.timeout,
        signal: this.#stop,
        failureForPeer: failureForPeer(this.#request),
        sendOne: async (opened, ask, signal) => await images.send(opened, ask, signal, this.#traffic),
        onFailed: (error) => {
          if (isLinkFailure(error)) throw error;
          images.outcomes.failNext(error);
        },
      });
    }
    images.failRest();
  }
}
