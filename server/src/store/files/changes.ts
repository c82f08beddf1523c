import type { Change } from "../job-store.ts";

type Listener = (change: Change) => void;

/** Reports changes to listeners: each once per turn of the event loop, and never within the call that makes it. */
export class Changes {
  readonly #listeners = new Set<{ listener: Listener }>();
  readonly #pending = new Map<string, Change>();

  watch(listener: Listener): Disposable {
    const entry = { listener };
    this.#listeners.add(entry);
    return { [Symbol.dispose]: () => void this.#listeners.delete(entry) };
  }

  notify(change: Change): void {
    if (this.#pending.size === 0) setImmediate(() => this.#flush());
    this.#pending.set(`${change.what} ${change.id}`, change);
  }

  #flush(): void {
    const changes = [...this.#pending.values()];
    this.#pending.clear();
    for (const change of changes) for (const { listener } of this.#listeners) listener(change);
  }
}
