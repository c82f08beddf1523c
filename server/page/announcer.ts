import { byId } from "./dom.ts";
import { type ApiJob, nameParts, STATE_TEXT } from "./job.ts";

/** ms within which changes are combined into one announcement */
const TOGETHER = 1_500;

/** Announces changes of states to screen readers, politely: a few by name, many by their number. */
export class Announcer {
  readonly #live = byId("live", HTMLElement);
  readonly #changes = new Map<string, string>();
  #isWaiting = false;

  changed(job: ApiJob): void {
    this.#changes.set(job.id, `${nameParts(job.name).last} ${STATE_TEXT[job.state]}`);
    if (!this.#isWaiting) setTimeout(() => this.#sayChanges(), TOGETHER);
    this.#isWaiting = true;
  }

  say(text: string): void {
    this.#live.textContent = text;
  }

  #sayChanges(): void {
    const texts = [...this.#changes.values()];
    this.#changes.clear();
    this.#isWaiting = false;
    this.say(texts.length > 3 ? `${texts.length} builds changed` : texts.join(", "));
  }
}
