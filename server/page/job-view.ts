import { isOver } from "../src/jobs/job.ts";
import { type Api, errorText } from "./api.ts";
import { button, element, setText } from "./dom.ts";
import type { ServerEvent } from "./event-parser.ts";
import { readEvents } from "./event-stream.ts";
import type { Follower } from "./follower.ts";
import type { ApiJob } from "./job.ts";
import { factsOf, phasesOf, reasonOf, summaryOf, titleOf } from "./job-head.ts";
import { LogView } from "./log-view.ts";
import { askRegistryLogin } from "./registry-login.ts";
import { type Route, writeRoute } from "./route.ts";

export interface JobViewContext {
  api: Api;
  follower: Follower;
  route: () => Route;
  /** Called with a job from a response */
  take: (job: ApiJob) => void;
  say: (text: string) => void;
}

/** One job: its facts, the available actions, and its growing log. Aborting `signal` ends it. */
export class JobView {
  readonly element: HTMLElement;
  readonly title = element("h2", { tabindex: "-1", class: "job-title" });
  readonly #context: JobViewContext;
  readonly #id: string;
  readonly #signal: AbortSignal;
  readonly #summary = element("p", { class: "about" });
  readonly #more = element("div", { class: "job-more" });
  readonly #problem = element("p", { class: "problem", role: "alert", hidden: true });
  readonly #end = element("p", { class: "notice log-end" }, "Fetching the log.");
  readonly #log: LogView;
  readonly #follow = button("Follow", () => this.toggleFollow(), { "aria-pressed": "false" });
  readonly #toError = button("Go to error", () => this.goToError(), { hidden: true });
  readonly #unfold = button("Unfold all", () => this.#unfoldAll());
  readonly #download = button("Save log", () => void this.#save());
  readonly #cancel = button("Cancel", () => void this.#stop(), { class: "danger" });
  readonly #retry = button("Retry", () => void this.#again());
  #job: ApiJob | undefined;
  #hasEnded = false;
  #areAllOpen = false;

  constructor(id: string, context: JobViewContext, signal: AbortSignal) {
    [this.#id, this.#context, this.#signal] = [id, context, signal];
    this.#log = new LogView(
      () => context.follower.isOn,
      () => this.#drawn(),
    );
    const back = element(
      "a",
      { class: "back", href: writeRoute({ ...context.route(), job: undefined, view: undefined }) },
      "All builds",
    );
    const tools = element("div", { class: "group" }, this.#follow, this.#toError, this.#unfold, this.#download);
    const deeds = element("div", { class: "group" }, this.#cancel, this.#retry);
    this.element = element(
      "article",
      { class: "job-view" },
      element("header", { class: "job-head" }, back, this.title, this.#summary, this.#more),
      element("div", { class: "tools", role: "group", "aria-label": "Build and log" }, tools, deeds),
      this.#problem,
      element("section", { "aria-label": "Log" }, this.#log.element, this.#end),
    );
    this.#setDeeds();
  }

  /** Fetches the job and follows its log until it ends. */
  async run(): Promise<void> {
    await Promise.all([this.refresh(), this.#readLog()]);
  }

  /** Fetches the job anew: the list lacks some facts, e.g. changes of the position in the queue. */
  async refresh(): Promise<void> {
    try {
      this.#context.take(await this.#context.api.json<ApiJob>(this.#path(), { signal: this.#signal }));
    } catch (error) {
      if (!this.#signal.aborted) this.#showProblem(errorText(error));
    }
  }

  /** Shows the current state of the job. */
  update(changed: ApiJob): void {
    const isNew = this.#job === undefined;
    // Events omit the position in the queue.
    const job =
      changed.state === "queued" ? { ...changed, position: changed.position ?? this.#job?.position } : changed;
    this.#job = job;
    this.title.replaceChildren(...titleOf(job));
    // For a build without success, the log is more important.
    const isWanted = job.state === "succeeded" && matchMedia("(min-width: 60rem)").matches;
    const open = this.#more.querySelector("details")?.open ?? isWanted;
    const facts = element("details", {}, element("summary", {}, "Details"), factsOf(job, this.#context.route().filter));
    facts.open = open;
    const parts = [reasonOf(job), phasesOf(job), facts].filter((part) => part !== undefined);
    // Unchanged elements stay, because the focus may be in one of them.
    const isSame =
      parts.length === this.#more.children.length &&
      parts.every((part, at) => part.isEqualNode(this.#more.children[at] ?? null));
    if (!isSame) this.#more.replaceChildren(...parts);
    this.tick();
    this.#setDeeds();
    if (isNew && !isOver(job)) this.#context.follower.set(true);
  }

  /** Updates the running times. */
  tick(): void {
    if (this.#job === undefined) return;
    const summary = summaryOf(this.#job, Date.now());
    const text = summary.map(({ textContent }) => textContent).join("");
    if (this.#summary.textContent !== text) this.#summary.replaceChildren(...summary);
  }

  get job(): ApiJob | undefined {
    return this.#job;
  }

  toggleFollow(): void {
    if (!this.#hasEnded) this.#context.follower.set(!this.#context.follower.isOn, true);
  }

  showFollow(): void {
    const { isOn } = this.#context.follower;
    setText(this.#follow, isOn ? "Following" : "Follow");
    this.#follow.setAttribute("aria-pressed", String(isOn));
  }

  goToError(): void {
    const failed = this.#log.failed;
    if (failed === undefined) return;
    this.#context.follower.set(false, true);
    failed.open(true);
    failed.element.scrollIntoView({ block: "start" });
    failed.head?.focus({ preventScroll: true });
  }

  async #readLog(): Promise<void> {
    try {
      await readEvents({
        open: async (lastId, signal) => await this.#context.api.events(`${this.#path()}/logs`, lastId, signal),
        onEvents: (events) => this.#take(events),
        onLink: (isConnected) =>
          setText(this.#end, isConnected ? "" : "The connection is lost. The log continues when it is back."),
        signal: this.#signal,
      });
    } catch (error) {
      if (this.#signal.aborted) return;
      setText(this.#end, errorText(error));
    }
  }

  #take(events: readonly ServerEvent[]): boolean {
    for (const { type, data } of events) {
      if (type === "log") for (const line of data.split("\n")) this.#log.add(line);
      else if (type === "job") this.#context.take(JSON.parse(data) as ApiJob);
      else if (type === "end") {
        this.#finish(JSON.parse(data) as Partial<ApiJob>);
        return true;
      }
    }
    return false;
  }

  #finish({ state }: Partial<ApiJob>): void {
    this.#hasEnded = true;
    this.#log.end(state !== "succeeded");
    this.#context.follower.mayFollow = false;
    this.#follow.hidden = true;
    void this.refresh();
  }

  #drawn(): void {
    // Not earlier: this text means that the log is complete.
    if (this.#hasEnded) setText(this.#end, this.#log.isEmpty ? "The log is empty." : "End of the log.");
    this.#toError.hidden = this.#log.failed === undefined;
    this.#context.follower.mayFollow = !this.#hasEnded;
    this.#context.follower.toEnd();
    if (this.#hasEnded) this.#context.follower.set(false);
  }

  #unfoldAll(): void {
    this.#areAllOpen = !this.#areAllOpen;
    this.#log.openAll(this.#areAllOpen);
    setText(this.#unfold, this.#areAllOpen ? "Fold all" : "Unfold all");
  }

  /** Saves the log as a file. A link could not send the token. */
  async #save(): Promise<void> {
    try {
      const text = await this.#context.api.text(`${this.#path()}/logs`);
      const href = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
      element("a", { href, download: `${this.#id}.log` }).click();
      setTimeout(() => URL.revokeObjectURL(href), 10_000);
    } catch (error) {
      this.#showProblem(errorText(error));
    }
  }

  async #stop(): Promise<void> {
    await this.#post("cancel", this.#cancel, undefined, "The build is being cancelled.");
  }

  async #again(): Promise<void> {
    const login = this.#job?.hasCredentials === true ? await askRegistryLogin() : {};
    if (login !== undefined) await this.#post("retry", this.#retry, login, "The build is queued again.");
  }

  async #post(what: "cancel" | "retry", button: HTMLButtonElement, body: unknown, done: string): Promise<void> {
    this.#showProblem("");
    const hadFocus = document.activeElement === button;
    button.setAttribute("aria-busy", "true");
    button.disabled = true;
    try {
      const job = await this.#context.api.json<ApiJob>(`${this.#path()}/${what}`, { method: "POST", body });
      this.#context.take(job);
      this.#context.say(done);
      if (job.id !== this.#id) location.hash = writeRoute({ ...this.#context.route(), job: job.id });
    } catch (error) {
      this.#showProblem(errorText(error));
    } finally {
      button.removeAttribute("aria-busy");
      this.#setDeeds();
      // A disabled button loses the focus, and Tab would begin at the top of the page.
      const isLost = document.activeElement === document.body || document.activeElement === button;
      if (hadFocus && isLost) (button.disabled ? this.title : button).focus();
    }
  }

  #setDeeds(): void {
    const state = this.#job === undefined ? "unknown" : isOver(this.#job) ? "over" : "goes on";
    // Each button stays in its place: a second click on one must not hit the other.
    this.#cancel.disabled = state !== "goes on" || this.#job?.cancelledAt !== undefined;
    this.#retry.disabled = state !== "over";
  }

  #showProblem(problem: string): void {
    setText(this.#problem, problem);
    this.#problem.hidden = problem === "";
  }

  #path(): string {
    return `api/v2/builds/${encodeURIComponent(this.#id)}`;
  }
}
