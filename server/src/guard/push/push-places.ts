import { abortable } from "docker-over-ssh/builds";

/**
 * Pushes of one tenant at the same time. The engine opens about five connections to the proxy for each, and the proxy has 512 for all tenants. `docker
 * compose push` may ask for as many at once as there are services: those beyond wait.
 */
const PLACES = 16;

interface Line {
  taken: number;
  /** Begins the push that waits longest */
  waiting: (() => void)[];
}

/** Lets a few pushes of each tenant run at the same time; others wait in the order in which they came. */
export class PushPlaces {
  readonly #lines = new Map<string, Line>();

  /** Waits for a place, which is free again when it is disposed of. Rejects with the reason of `signal`. */
  async take(tenant: string, signal: AbortSignal): Promise<Disposable> {
    const line = this.#lines.get(tenant) ?? { taken: 0, waiting: [] };
    this.#lines.set(tenant, line);
    if (line.taken >= PLACES) {
      let begin!: () => void;
      const turn = new Promise<void>((resolve) => (begin = resolve));
      line.waiting.push(begin);
      try {
        await abortable(turn, signal);
      } catch (error) {
        const at = line.waiting.indexOf(begin);
        if (at === -1) this.#free(tenant, line);
        else line.waiting.splice(at, 1);
        throw error;
      }
    } else line.taken++;
    return { [Symbol.dispose]: () => this.#free(tenant, line) };
  }

  /** Gives a place to the next that waits. */
  #free(tenant: string, line: Line): void {
    const next = line.waiting.shift();
    if (next !== undefined) next();
    else if (--line.taken === 0) this.#lines.delete(tenant);
  }
}
