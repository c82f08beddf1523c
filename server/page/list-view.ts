import { byId, element, icon, oncePerFrame, setAttributes, setText } from "./dom.ts";
import { ago, duration, fullTime } from "./format.ts";
import { type ApiJob, nameElements, positionText, runSeconds, STATE_TEXT } from "./job.ts";
import type { JobsModel } from "./jobs-model.ts";
import { type Route, writeRoute } from "./route.ts";

interface Row {
  item: HTMLLIElement;
  link: HTMLAnchorElement;
  /** The job that it shows */
  job: ApiJob | undefined;
}

/** The list of jobs. */
export class ListView {
  /** Draws the list in the next frame. */
  readonly draw = oncePerFrame(() => this.#draw());
  readonly #list = byId("jobs", HTMLUListElement);
  readonly #notice = byId("list-notice", HTMLElement);
  readonly #more = byId("more", HTMLButtonElement);
  readonly #rows = new Map<string, Row>();
  readonly #model: JobsModel;
  readonly #route: () => Route;
  #problem = "";

  constructor(model: JobsModel, route: () => Route) {
    this.#model = model;
    this.#route = route;
    this.#more.addEventListener("click", () => {
      const last = this.links.at(-1);
      void model.more().then(() => last?.focus());
    });
    setInterval(() => this.#tick(), 1_000);
  }

  get links(): HTMLAnchorElement[] {
    return [...this.#list.querySelectorAll("a")];
  }

  link(id: string | undefined): HTMLAnchorElement | undefined {
    return id === undefined ? undefined : this.#rows.get(id)?.link;
  }

  /** Shows why the list may be incomplete; an empty text: it is complete. */
  showProblem(problem: string): void {
    this.#problem = problem;
    this.draw();
  }

  #draw(): void {
    const { jobs, hasMore, hasLoaded } = this.#model;
    const { job: shown, filter } = this.#route();
    const wanted = new Set(jobs.map(({ id }) => id));
    for (const [id, { item }] of this.#rows) {
      if (wanted.has(id)) continue;
      // If the focus is on a removed row, it stays in the list.
      if (item.contains(document.activeElement))
        (item.nextElementSibling ?? item.previousElementSibling)?.querySelector("a")?.focus();
      item.remove();
      this.#rows.delete(id);
    }
    let at: Element | null = this.#list.firstElementChild;
    for (const job of jobs) {
      const row = this.#row(job.id);
      if (row.item !== at) this.#list.insertBefore(row.item, at);
      at = row.item.nextElementSibling;
      if (row.job !== job) fill(row, job);
      setAttributes(row.link, {
        href: writeRoute({ job: job.id, filter }),
        "aria-current": job.id === shown ? "true" : undefined,
      });
    }
    const isFiltered = filter.name !== "" || filter.states.length > 0;
    const nothing = isFiltered ? "No build matches the filter." : "Nothing has been built yet.";
    const text = this.#problem || (hasLoaded && jobs.length === 0 ? nothing : "");
    setText(this.#notice, text);
    this.#notice.hidden = text === "";
    this.#more.hidden = !hasMore;
  }

  #row(id: string): Row {
    const known = this.#rows.get(id);
    if (known !== undefined) return known;
    const link = element("a", { class: "job" });
    const row = { item: element("li", {}, link), link, job: undefined };
    this.#rows.set(id, row);
    return row;
  }

  #tick(): void {
    if (document.visibilityState === "hidden") return;
    const now = Date.now();
    for (const { link, job } of this.#rows.values()) {
      if (job === undefined) continue;
      for (const part of link.querySelectorAll("[data-took]")) setText(part, tookText(job, now));
      for (const part of link.querySelectorAll("[data-ago]")) setText(part, ago(job.acceptedAt, now));
    }
  }
}

function fill(row: Row, job: ApiJob): void {
  const now = Date.now();
  row.job = job;
  row.link.replaceChildren(
    stateIcon(job),
    element("span", { class: "name", title: job.name }, ...nameElements(job.name)),
    element("span", { class: "took", "data-took": true }, tookText(job, now)),
    element(
      "span",
      { class: "about" },
      element("span", { class: "state", "data-state": job.state }, stateText(job)),
      separator(),
      element("span", {}, job.owner),
      separator(),
      element(
        "time",
        { datetime: job.acceptedAt, title: fullTime(job.acceptedAt), "data-ago": true },
        ago(job.acceptedAt, now),
      ),
    ),
  );
}

export function stateIcon({ state }: Pick<ApiJob, "state">): HTMLElement {
  return element("span", { class: "state", "data-state": state }, icon(state));
}

/** CSS replaces it by a gap between words; a screen reader reads a comma. */
export function separator(): HTMLElement {
  return element("span", { class: "separator" }, ", ");
}

function stateText({ state, position }: ApiJob): string {
  return state === "queued" && position !== undefined ? `queued, ${positionText(position)}` : STATE_TEXT[state];
}

function tookText(job: ApiJob, now: number): string {
  const seconds = runSeconds(job, now);
  return seconds === undefined ? "" : duration(seconds);
}
