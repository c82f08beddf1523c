import { element, oncePerFrame } from "./dom.ts";
import { LogSteps, type LogGroup } from "./log-steps.ts";
import { StepView } from "./step-view.ts";

/** The log of one job, step by step. */
export class LogView {
  readonly element = element("div", { class: "log" });
  readonly #steps = new LogSteps();
  readonly #views = new Map<LogGroup, StepView>();
  readonly #changed = new Set<LogGroup>();
  readonly #isFollowed: () => boolean;
  readonly #onDrawn: () => void;
  readonly #draw = oncePerFrame(() => this.#drawChanged());
  isEmpty = true;

  /** @param onDrawn called when the page has the newest lines */
  constructor(isFollowed: () => boolean, onDrawn: () => void) {
    this.#isFollowed = isFollowed;
    this.#onDrawn = onDrawn;
  }

  add(line: string): void {
    const added = this.#steps.add(line);
    this.isEmpty = false;
    if (added === undefined) return;
    this.#changed.add(added.group);
    this.#draw();
  }

  /** Ends the log: no more lines follow. */
  end(hasFailed: boolean): void {
    this.#steps.end(hasFailed);
    for (const group of this.#steps.groups) this.#changed.add(group);
    this.#draw();
  }

  openAll(isOpen: boolean): void {
    for (const view of this.#views.values()) view.open(isOpen);
  }

  /** Returns the first step that has failed. */
  get failed(): StepView | undefined {
    return [...this.#views.values()].find(({ hasFailed }) => hasFailed);
  }

  #drawChanged(): void {
    const isFollowed = this.#isFollowed();
    for (const group of this.#changed) {
      let view = this.#views.get(group);
      if (view === undefined) {
        view = new StepView(group);
        this.#views.set(group, view);
        this.element.append(view.element);
      }
      view.update(isFollowed);
    }
    this.#changed.clear();
    this.#onDrawn();
  }
}
