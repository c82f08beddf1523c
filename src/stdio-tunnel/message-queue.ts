import type { Message } from "./control.ts";

/** Types of messages kept for a later listener. Messages of more types, which only a hostile peer sends, are dropped. */
const MAX_EARLY = 16;

/** Delivers each message to the listener for its type, or keeps it until there is one. */
export class MessageQueue {
  readonly #listeners = new Map<string, (message: Message) => void>();
  /** The last message of each type without a listener. */
  readonly #early = new Map<string, Message>();

  /** Sets the listener for a type. Returns the message that has arrived already; the caller passes it to {@link deliver}. */
  listen(type: string, listener: (message: Message) => void): Message | undefined {
    this.#listeners.set(type, listener);
    return this.#early.get(type);
  }

  leave(type: string): void {
    this.#listeners.delete(type);
  }

  /** Throws what the listener throws. */
  deliver(message: Message): void {
    const listener = this.#listeners.get(message.type);
    this.#early.delete(message.type);
    if (listener !== undefined) listener(message);
    else if (this.#early.size < MAX_EARLY) this.#early.set(message.type, message);
  }
}
