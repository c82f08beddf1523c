import { type Api, ApiError, errorText } from "./api.ts";
import { element, setText } from "./dom.ts";
import { ago, bytes, plural } from "./format.ts";
import { type ApiJob, type ApiJobs, nameElements, positionText } from "./job.ts";
import { separator, stateIcon } from "./list-view.ts";
import { type Route, writeRoute } from "./route.ts";

/** A worker in the form of the API */
export interface ApiWorker {
  worker: string;
  /** ms since 1970 */
  at: number;
  places: number;
  /** Number of running builds */
  running: number;
  engine: {
    address: string;
    isReachable: boolean;
    error?: string | undefined;
    version?: string | undefined;
    disk?: Record<Kind, number> | undefined;
  };
}

const KINDS = ["images", "cache", "volumes", "containers"] as const;
type Kind = (typeof KINDS)[number];

/** Maximum number of fetched jobs, and of queued jobs that are shown with their position */
const LISTED = 200;
const PLACED = 20;

/** The queue, the running builds, and the engines. */
export class WorkersView {
  readonly title = element("h2", { tabindex: "-1" }, "Queue and workers");
  readonly element: HTMLElement;
  readonly #running = element("ul", { class: "plain-list" });
  readonly #queue = element("ol", { class: "plain-list" });
  readonly #workers = element("ul", { class: "workers" });
  readonly #notes = {
    running: element("p", { class: "notice" }),
    queue: element("p", { class: "notice" }),
    workers: element("p", { class: "notice" }),
  };
  readonly #api: Api;
  readonly #route: () => Route;

  constructor(api: Api, route: () => Route) {
    [this.#api, this.#route] = [api, route];
    const part = (title: string, ...children: Node[]): HTMLElement =>
      element("section", {}, element("h3", {}, title), ...children);
    const back = element(
      "a",
      { class: "back", href: writeRoute({ ...route(), job: undefined, view: undefined }) },
      "All builds",
    );
    this.element = element(
      "article",
      { class: "overview" },
      back,
      this.title,
      part("Running", this.#notes.running, this.#running),
      part("Queue", this.#notes.queue, this.#queue),
      part("Workers", this.#notes.workers, this.#workers),
    );
  }

  async refresh(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#refreshRunning(signal), this.#refreshQueue(signal), this.#refreshWorkers(signal)]);
  }

  async #refreshRunning(signal: AbortSignal): Promise<void> {
    const page = await this.#fetch<ApiJobs>(
      `api/v2/builds?status=running,pushing&limit=${LISTED}`,
      this.#notes.running,
      signal,
    );
    if (page === undefined) return;
    setText(this.#notes.running, page.builds.length === 0 ? "Nothing runs." : "");
    this.#replace(
      this.#running,
      page.builds.map((job) => this.#item(job)),
    );
  }

  /** The list omits positions in the queue, so they are fetched one by one for the jobs that have waited longest. */
  async #refreshQueue(signal: AbortSignal): Promise<void> {
    const page = await this.#fetch<ApiJobs>(`api/v2/builds?status=queued&limit=${LISTED}`, this.#notes.queue, signal);
    if (page === undefined) return;
    const oldest = page.builds.slice(-PLACED).toReversed();
    const requests = oldest.map((job) => this.#fetch<ApiJob>(`api/v2/builds/${job.id}`, this.#notes.queue, signal));
    const found = (await Promise.all(requests)).filter((job) => job?.state === "queued");
    const placed = found.filter((job) => job !== undefined).toSorted((one, other) => place(one) - place(other));
    const all =
      page.cursor === undefined ? plural(page.builds.length, "build") : `More than ${plural(LISTED, "build")}`;
    const verb = page.builds.length === 1 ? "waits" : "wait";
    const isPart = page.builds.length > PLACED;
    const some = page.cursor === undefined ? "These are next." : `These are the oldest of the newest ${LISTED}.`;
    setText(
      this.#notes.queue,
      page.builds.length === 0 ? "The queue is empty." : isPart ? `${all} ${verb}. ${some}` : "",
    );
    this.#replace(
      this.#queue,
      placed.map((job) => this.#item(job)),
    );
  }

  async #refreshWorkers(signal: AbortSignal): Promise<void> {
    const answer = await this.#fetch<{ workers: ApiWorker[] }>("api/v2/workers", this.#notes.workers, signal);
    if (answer === undefined) return;
    const { workers } = answer;
    setText(this.#notes.workers, workers.length === 0 ? "No worker has reported. Builds wait until one does." : "");
    this.#replace(
      this.#workers,
      workers.map((worker) => this.#worker(worker)),
    );
  }

  async #fetch<Answer>(path: string, note: HTMLElement, signal: AbortSignal): Promise<Answer | undefined> {
    try {
      return await this.#api.json<Answer>(path, { signal });
    } catch (error) {
      const isHidden = error instanceof ApiError && error.status === 403;
      if (!signal.aborted) setText(note, isHidden ? "This token may not see them." : errorText(error));
    }
    return undefined;
  }

  /** Keeps the current elements if nothing has changed, because the focus may be in one of them. */
  #replace(list: HTMLElement, items: readonly HTMLElement[]): void {
    const copy = list.cloneNode(false) as HTMLElement;
    copy.append(...items);
    if (!copy.isEqualNode(list)) {
      const href = list.contains(document.activeElement) ? document.activeElement?.getAttribute("href") : undefined;
      list.replaceChildren(...items);
      [...list.querySelectorAll("a")].find((link) => link.getAttribute("href") === href)?.focus();
    }
  }

  #item(job: ApiJob): HTMLElement {
    const link = element(
      "a",
      { href: writeRoute({ ...this.#route(), view: undefined, job: job.id }) },
      ...nameElements(job.name),
    );
    const about = job.state === "queued" ? positionText(job.position) : job.engine;
    const words = [about, job.owner].filter((word) => word !== undefined);
    return element(
      "li",
      {},
      stateIcon(job),
      link,
      element(
        "span",
        { class: "about" },
        ...words.flatMap((word) => [separator(), element("span", {}, word)]).slice(1),
      ),
    );
  }

  #worker({ worker, at, engine, places, running }: ApiWorker): HTMLElement {
    const { address, isReachable, error, version, disk } = engine;
    const state = element("span", { class: "state", "data-state": isReachable ? "succeeded" : "failed" });
    state.append(isReachable ? "engine answers" : "engine does not answer");
    const about = [
      version === undefined ? "" : `version ${version}`,
      `${running} of ${plural(places, "place")} taken`,
      worker,
      `heard ${ago(at, Date.now())}`,
    ].filter((text) => text !== "");
    return element(
      "li",
      { class: "worker" },
      element("p", { class: "worker-name" }, element("b", {}, address), state),
      element("p", { class: "about" }, ...about.flatMap((text) => [separator(), element("span", {}, text)]).slice(1)),
      error !== undefined && element("p", { class: "problem" }, error),
      disk !== undefined && diskOf(disk),
    );
  }
}

/** Shows the disk usage of an engine, as a bar and in words. */
function diskOf(disk: Record<Kind, number>): HTMLElement {
  const total = KINDS.reduce((sum, kind) => sum + disk[kind], 0);
  const bar = element("div", { class: "disk-bar", "aria-hidden": "true" });
  for (const kind of KINDS) {
    if (disk[kind] === 0) continue;
    const part = element("span", { "data-kind": kind });
    part.style.flexGrow = String(disk[kind] / total);
    bar.append(part);
  }
  const words = KINDS.map((kind) =>
    element("li", { "data-kind": kind }, `${kind} `, element("b", {}, bytes(disk[kind]))),
  );
  return element(
    "div",
    { class: "disk" },
    element("p", {}, "Disk ", element("b", {}, bytes(total))),
    bar,
    element("ul", { class: "disk-parts" }, ...words),
  );
}

function place({ position = Infinity }: ApiJob): number {
  return position;
}
