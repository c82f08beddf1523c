import { abortable } from "docker-over-ssh/builds";

/**
 * Maximum simultaneous pushes of one tenant. The engine opens about five connections to the proxy for each push, and the proxy has 512 for all tenants. `docker
 * compose push` may start a push for each service at once, so pushes beyond this limit wait.
 */
const SLOTS = 16;

interface Queue {
  taken: number;
  /** Functions that start the waiting pushes, in the order of their arrival */
  waiting: (() => void)[];
}

/** Limits the simultaneous pushes of each tenant. Other pushes wait in the order of their arrival. */
export class PushSlots {
  readonly #queues = new Map<string, Queue>();

  /** Waits for a slot. Disposing frees it. Rejects with the reason of `signal`. */
  async take(tenant: string, signal: AbortSignal): Promise<Disposable> {
    const queue = this.#queues.get(tenant) ?? { taken: 0, waiting: [] };
    this.#queues.set(tenant, queue);
    if (queue.taken >= SLOTS) {
      let begin!: () => void;
      const turn = new Promise<void>((resolve) => (begin = resolve));
      queue.waiting.push(begin);
      try {
        await abortable(turn, signal);
      } catch (error) {
        const at = queue.waiting.indexOf(begin);
        if (at === -1) this.#free(tenant, queue);
        else queue.waiting.splice(at, 1);
        throw error;
      }
    } else queue.taken++;
    return { [Symbol.dispose]: () => this.#free(tenant, queue) };
  }

  /** Gives the slot to the next waiting push. */
  #free(tenant: string, queue: Queue): void {
    const next = queue.waiting.shift();
    if (next !== undefined) next();
    else if (--queue.taken === 0) this.#queues.delete(tenant);
  }
}
