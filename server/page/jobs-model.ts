import { type Api, errorText } from "./api.ts";
import type { ServerEvent } from "./event-parser.ts";
import { readEvents } from "./event-stream.ts";
import { isOver } from "../src/jobs/job.ts";
import type { ApiJob, ApiJobs } from "./job.ts";
import type { Filter } from "./route.ts";

const PAGE = 50;
/** Number of new jobs in the list after which it restarts with the newest page. */
const MOST_NEW = 500;

export interface ModelListener {
  /** Called when the list has changed. */
  onList: () => void;
  /** Called when a job has changed, whether or not it is in the list. */
  onJob: (job: ApiJob, before: ApiJob | undefined) => void;
  onLink: (isConnected: boolean) => void;
  onError: (text: string) => void;
}

/** The jobs of the list that match the filter, newest first. The server's events keep it up to date. */
export class JobsModel {
  readonly #api: Api;
  readonly #listener: ModelListener;
  readonly #jobs = new Map<string, ApiJob>();
  #filter: Filter = { states: [], name: "" };
  #cursor: string | undefined;
  #loading: AbortController | undefined;
  /** Jobs from events that arrived while a page was fetched */
  readonly #changedDuringFetch = new Map<string, ApiJob>();
  #most = MOST_NEW;
  hasLoaded = false;

  constructor(api: Api, listener: ModelListener) {
    this.#api = api;
    this.#listener = listener;
  }

  get jobs(): ApiJob[] {
    return [...this.#jobs.values()].toSorted((one, other) => (one.id < other.id ? 1 : -1));
  }

  get hasMore(): boolean {
    return this.#cursor !== undefined;
  }

  get(id: string): ApiJob | undefined {
    return this.#jobs.get(id);
  }

  async setFilter(filter: Filter): Promise<void> {
    this.#filter = filter;
    await this.load();
  }

  /** Fetches the newest jobs, which replace the current ones. */
  async load(): Promise<void> {
    const page = await this.#fetch(undefined);
    if (page === undefined) return;
    this.#jobs.clear();
    this.#add(page);
  }

  /** Fetches older jobs. */
  async more(): Promise<void> {
    if (this.#cursor === undefined) return;
    const page = await this.#fetch(this.#cursor);
    if (page !== undefined) this.#add(page);
  }

  /**
   * Follows changes until the signal is aborted. Changes that occurred without a connection are fetched with the list.
   */
  async follow(signal: AbortSignal): Promise<void> {
    await readEvents({
      open: async (lastId, signal) => await this.#api.events("api/v2/events", lastId, signal),
      onEvents: (events) => {
        this.#take(events);
        return false;
      },
      onLink: (isConnected) => {
        this.#listener.onLink(isConnected);
        if (isConnected) void this.load();
      },
      signal,
    });
  }

  #add({ builds, cursor }: ApiJobs): void {
    for (const job of builds) this.#jobs.set(job.id, job);
    this.#cursor = cursor;
    this.hasLoaded = true;
    this.#most = this.#jobs.size + MOST_NEW;
    for (const job of this.#changedDuringFetch.values()) {
      // The page may be older than the event, and the event older than the page: a job that is over stays over.
      const fetched = this.#jobs.get(job.id);
      if (fetched === undefined || !isOver(fetched)) this.#put(job);
    }
    this.#listener.onList();
  }

  async #fetch(cursor: string | undefined): Promise<ApiJobs | undefined> {
    this.#loading?.abort();
    const loading = (this.#loading = new AbortController());
    this.#changedDuringFetch.clear();
    const { states, name } = this.#filter;
    const query = new URLSearchParams({ limit: String(PAGE) });
    if (states.length > 0) query.set("status", states.join(","));
    if (name !== "") query.set("name", name);
    if (cursor !== undefined) query.set("cursor", cursor);
    try {
      return await this.#api.json<ApiJobs>(`api/v2/builds?${query}`, { signal: loading.signal });
    } catch (error) {
      if (!loading.signal.aborted) this.#listener.onError(errorText(error));
    } finally {
      if (this.#loading === loading) this.#loading = undefined;
    }
    return undefined;
  }

  #take(events: readonly ServerEvent[]): void {
    for (const { type, data } of events) if (type === "job") this.take(JSON.parse(data) as ApiJob);
  }

  /** Stores the current state of a job. */
  take(job: ApiJob): void {
    const before = this.#jobs.get(job.id);
    if (this.#loading !== undefined) this.#changedDuringFetch.set(job.id, job);
    this.#put(job);
    if (this.#jobs.size > this.#most && this.#loading === undefined) void this.load();
    this.#listener.onJob(job, before);
    this.#listener.onList();
  }

  #put(job: ApiJob): void {
    const position = job.state === "queued" ? (job.position ?? this.#jobs.get(job.id)?.position) : undefined;
    if (this.#matches(job)) this.#jobs.set(job.id, { ...job, position });
    else this.#jobs.delete(job.id);
  }

  #matches({ state, name, id }: ApiJob): boolean {
    const { states, name: part } = this.#filter;
    if (states.length > 0 && !states.includes(state)) return false;
    return name.includes(part) && (this.#jobs.has(id) || !this.hasMore || this.#isNewer(id));
  }

  /** A job that is older than the list is fetched with the next page. */
  #isNewer(id: string): boolean {
    for (const other of this.#jobs.keys()) if (other < id) return true;
    return this.#jobs.size === 0;
  }
}
