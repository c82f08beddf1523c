import type { Message } from "./control.ts";

/** Types of messages kept for a listener to come; a far end that invents more is not remembered. */
const MAX_EARLY = 16;

/** Gives messages to whoever listens for their type, one listener each, or keeps them for it. */
export class MessageQueue {
  readonly #listeners = new Map<string, (message: Message) => void>();
  /** The last message of each type that nobody was listening for yet. */
  readonly #early = new Map<string, Message>();

  /** Listens from now on. Returns what has come already, which is for the caller to {@link deliver}. */
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
