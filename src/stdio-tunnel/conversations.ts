import { abortable } from "../streams/abortable.ts";
import { CONTROL_SERVICE, MAX_CONVERSATIONS } from "./constants.ts";
import { numbered, NumberedConversation } from "./numbered-conversation.ts";
import type { Tunnel } from "./session.ts";

/** Opens conversations one after the other (receiver only). */
export class ConversationOpener {
  readonly #tunnel: Tunnel;
  #count = 0;

  constructor(tunnel: Tunnel) {
    this.#tunnel = tunnel;
  }

  open(): NumberedConversation {
    const number = ++this.#count;
    const control = this.#tunnel.connect(numbered(CONTROL_SERVICE, number));
    return new NumberedConversation(this.#tunnel, number, control);
  }
}

/**
 * Yields the conversations that the receiver opens, one after the other (sender only), until the receiver's result for all of them has
 * arrived. Accepts only the next number: any other number is answered like a service that does not exist.
 *
 * @param limit the maximum number of conversations. Default: that of a batch
 */
export async function* acceptConversations(
  tunnel: Tunnel,
  limit = MAX_CONVERSATIONS,
): AsyncGenerator<NumberedConversation> {
  // This is a signal, because a promise would keep each conversation that was raced with it in memory.
  const over = new AbortController();
  let isFinished = false;
  tunnel
    .result()
    .then(() => (isFinished = true))
    .catch((error: unknown) => over.abort(error))
    .finally(() => over.abort());
  let opened = acceptOne(tunnel, 1);
  for (let number = 2; ; number++) {
    const conversation = await abortable(opened, over.signal).catch(async (error: unknown) => {
      if (!isFinished) throw error;
      return await Promise.race([opened, Promise.resolve(undefined)]); // the last conversation, if it was opened and ended in the meantime
    });
    if (conversation === undefined) return;
    // The receiver may open the next conversation before this side has ended the last one.
    opened = number > limit ? new Promise(() => {}) : acceptOne(tunnel, number);
    yield conversation;
  }
}

async function acceptOne(tunnel: Tunnel, number: number): Promise<NumberedConversation> {
  const name = numbered(CONTROL_SERVICE, number);
  return await new Promise((resolve) =>
    tunnel.listen(name, (stream) => {
      tunnel.refuse(name);
      resolve(new NumberedConversation(tunnel, number, stream));
    }),
  );
}
