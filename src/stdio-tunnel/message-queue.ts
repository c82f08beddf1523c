import type { Message } from "./control.ts";

/**
 * The maximum number of message types that are stored for a later listener. Messages of more types, which only a hostile peer sends, are
 * dropped.
 */
const MAX_EARLY = 16;

/** Delivers each message to the listener for its type, or stores it until there is a listener. */
export class MessageQueue {
  readonly #listeners = new Map<string, (message: Message) => void>();
  /** The last message of each type without a listener. */
  readonly #early = new Map<string, Message>();

  /** Sets the listener for a type. Returns the message that has already arrived, if any, which the caller passes to {@link deliver}. */
  listen(type: string, listener: (message: Message) => void): Message | undefined {
    this.#listeners.set(type, listener);
    return this.#early.get(type);
  }

  leave(type: string): void {
    this.#listeners.delete(type);
  }

  /** Delivers or stores a message. Throws the error of the listener. */
  deliver(message: Message): void {
    const listener = this.#listeners.get(message.type);
    this.#early.delete(message.type);
    if (listener !== undefined) listener(message);
    else if (this.#early.size < MAX_EARLY) this.#early.set(message.type, message);
  }
}
