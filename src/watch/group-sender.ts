import type { PushedImages } from "../batch/pushed-images.ts";
import { sendImage } from "../batch/send-images.ts";
import { imagesMessage } from "../conversation/images.ts";
import type { PushRequest } from "../request.ts";
import { acceptConversations } from "../stdio-tunnel/conversations.ts";
import { linkLost } from "../stdio-tunnel/failures.ts";
import type { Tunnel } from "../stdio-tunnel/session.ts";
import type { DividedTraffic } from "../traffic.ts";
import { failureForPeer } from "../transfer.ts";
import { isOfTheLink } from "./link-failures.ts";

/** Sends groups of images over one tunnel, one after the other, to a peer that accepts further ones. */
export class GroupSender {
  readonly #tunnel: Tunnel;
  readonly #request: PushRequest;
  readonly #stop: AbortSignal;
  readonly #traffic: DividedTraffic;
  readonly #conversations: ReturnType<typeof acceptConversations>;

  /** @param request any of those, for what they share */
  constructor(tunnel: Tunnel, request: PushRequest, stop: AbortSignal, traffic: DividedTraffic) {
    this.#tunnel = tunnel;
    this.#request = request;
    this.#stop = stop;
    this.#traffic = traffic;
    // Each is for an image that this side has named, so their number needs no limit.
    this.#conversations = acceptConversations(tunnel, Infinity);
  }

  /**
   * Names the images of a group, and sends each in a conversation. One that fails does not stop the others, unless the link or an engine has
   * failed: then this rejects. Without a group, the peer learns that images come later.
   */
  async send(images?: PushedImages): Promise<void> {
    await this.#tunnel.send(imagesMessage(images?.names ?? [], true));
    if (images === undefined) return;
    for (const _ of images.names) {
      const { value: conversation } = await this.#conversations.next();
      if (conversation === undefined) throw linkLost(); // it has ended all, although further images may come
      await sendImage(this.#tunnel, conversation, {
        timeout: this.#request.timeout,
        signal: this.#stop,
        failureForPeer: failureForPeer(this.#request),
        sendOne: async (opened, ask, signal) => await images.send(opened, ask, signal, this.#traffic),
        onFailed: (error) => {
          if (isOfTheLink(error)) throw error;
          images.outcomes.failNext(error);
        },
      });
    }
    images.failRest();
  }
}
