import { parseAnsi } from "./ansi.ts";
import { element, icon, setText } from "./dom.ts";
import { plural } from "./format.ts";
import type { LogEntry, LogGroup, StepState } from "./log-steps.ts";

/** Lines of a chunk: a browser skips the layout of chunks outside the view (content-visibility). */
const CHUNK = 200;
/** Lines of a step that the page contains at first, and that each request for earlier ones adds */
const WINDOW = 4_000;
/** Maximum shown characters of a line */
const LONGEST = 8_000;

const STEP_TEXT: Record<StepState, string> = {
  running: "running",
  done: "",
  cached: "cached",
  failed: "failed",
  cancelled: "stopped",
};
const STEP_ICON: Record<StepState, string> = {
  running: "running",
  done: "succeeded",
  cached: "succeeded",
  failed: "failed",
  cancelled: "cancelled",
};

/**
 * A step of a log: a head, and lines that are in the page only while the step is open. Lines between steps have no
 * head, and are always open.
 */
export class StepView {
  readonly element: HTMLElement;
  readonly head: HTMLButtonElement | undefined;
  readonly #group: LogGroup;
  readonly #body = element("div", { class: "lines" });
  readonly #earlier = element("button", { type: "button", class: "earlier", hidden: true });
  /** The page contains the lines from `first` to before `next`. */
  #first = 0;
  #next = 0;
  #isOpen: boolean;
  /** Whether a person has chosen the open state. */
  #isChosen = false;

  constructor(group: LogGroup) {
    this.#group = group;
    this.#isOpen = group.number === undefined;
    if (group.number !== undefined) {
      this.head = element("button", { type: "button", class: "step-head", "aria-expanded": "false" });
      this.head.addEventListener("click", () => {
        this.#isChosen = true;
        this.#setOpen(!this.#isOpen);
      });
    }
    const title = this.head && element("h3", { class: "step-title" }, this.head);
    this.element = element("section", { class: "step" }, title, this.#earlier, this.#body);
    this.#earlier.addEventListener("click", () => this.#showEarlier());
    this.#body.hidden = !this.#isOpen;
  }

  get hasFailed(): boolean {
    return this.#group.state === "failed";
  }

  /**
   * Shows the current state of the group.
   *
   * @param isFollowed whether the newest lines are in view: if so, earlier lines may leave the page, and a completed
   * step is folded
   */
  update(isFollowed: boolean): void {
    const { number, state } = this.#group;
    this.element.dataset["step"] = number === undefined ? "none" : state;
    if (this.head !== undefined) this.#fillHead(this.head);
    if (!this.#isChosen && number !== undefined) {
      const isWanted = state === "running" || state === "failed";
      if (isWanted || isFollowed) this.#setOpen(isWanted && this.#group.entries.length > 0);
    }
    if (this.#isOpen) this.#append(isFollowed);
  }

  /** Opens or folds the step on a person's request. */
  open(isOpen: boolean): void {
    if (this.head === undefined) return;
    this.#isChosen = true;
    this.#setOpen(isOpen);
  }

  #setOpen(isOpen: boolean): void {
    if (this.#isOpen === isOpen) return;
    this.#isOpen = isOpen;
    this.#body.hidden = !isOpen;
    this.head?.setAttribute("aria-expanded", String(isOpen));
    if (this.head !== undefined) this.#fillHead(this.head);
    if (isOpen) return this.#append(true);
    this.#body.replaceChildren();
    [this.#first, this.#next] = [0, 0];
    this.#earlier.hidden = true;
  }

  #fillHead(head: HTMLButtonElement): void {
    const { number, name, state, took = "", entries } = this.#group;
    const parts = [took, entries.length > 0 && !this.#isOpen ? plural(entries.length, "line") : "", STEP_TEXT[state]];
    const about = parts.filter((part) => part !== "").join(" · ");
    const title = `#${number} ${name} ${about}`;
    if (head.dataset["title"] === title) return;
    head.dataset["title"] = title;
    head.replaceChildren(
      icon("fold"),
      icon(STEP_ICON[state]),
      element("span", { class: "step-number" }, `#${number}`),
      element("span", { class: "step-name" }, name.slice(0, LONGEST)),
      element("span", { class: "step-about" }, about),
    );
  }

  /** Adds the lines that are not in the page yet. */
  #append(isFollowed: boolean): void {
    const { entries } = this.#group;
    if (this.#next === this.#first || (isFollowed && entries.length - this.#next > WINDOW)) {
      this.#body.replaceChildren();
      this.#first = this.#next = Math.max(0, entries.length - WINDOW);
    }
    let chunk = this.#body.lastElementChild;
    for (; this.#next < entries.length; this.#next += 1) {
      if (chunk === null || chunk.childElementCount >= CHUNK) {
        chunk = element("div", { class: "chunk" });
        this.#body.append(chunk);
      }
      chunk.append(lineElement(entries[this.#next]));
    }
    if (isFollowed) this.#forgetFirst();
    this.#updateEarlier();
  }

  /** Removes the first chunks from the page, as long as enough lines stay. */
  #forgetFirst(): void {
    while (this.#next - this.#first > WINDOW + CHUNK && this.#body.firstElementChild !== null) {
      this.#first += this.#body.firstElementChild.childElementCount;
      this.#body.firstElementChild.remove();
    }
  }

  #showEarlier(): void {
    const { entries } = this.#group;
    const from = Math.max(0, this.#first - WINDOW);
    const chunks: HTMLElement[] = [];
    for (let at = from; at < this.#first; at += CHUNK) {
      const lines = entries.slice(at, Math.min(at + CHUNK, this.#first));
      chunks.push(element("div", { class: "chunk" }, ...lines.map((entry) => lineElement(entry))));
    }
    this.#body.prepend(...chunks);
    this.#first = from;
    this.#updateEarlier();
  }

  #updateEarlier(): void {
    this.#earlier.hidden = this.#first === 0;
    const next = Math.min(WINDOW, this.#first);
    setText(this.#earlier, `Show ${plural(next, "earlier line")} of ${this.#first.toLocaleString("en-GB")}`);
  }
}

function lineElement({ time = "", text, isError = false }: LogEntry = { text: "" }): HTMLElement {
  const left = text.length - LONGEST;
  const spans = parseAnsi(left > 0 ? text.slice(0, LONGEST) : text).map(({ text, classes }) =>
    classes === "" ? text : element("span", { class: classes }, text),
  );
  return element(
    "div",
    { class: isError ? "line error" : "line" },
    element("span", { class: "time" }, time),
    element(
      "span",
      { class: "text" },
      ...spans,
      left > 0 && element("span", { class: "cut" }, ` … ${plural(left, "more character")}`),
    ),
  );
}
