import { type Api, errorText } from "./api.ts";
import type { ServerEvent } from "./event-parser.ts";
import { readEvents } from "./event-stream.ts";
import { isOver } from "../src/jobs/job.ts";
import type { ApiJob, ApiJobs } from "./job.ts";
import type { Filter } from "./route.ts";

const PAGE = 50;
/** Jobs that may come into the list before it begins anew with the newest page. */
const MOST_NEW = 500;

export interface ModelListener {
  /** The list has changed. */
  onList: () => void;
  /** A job has changed, in the list or not. */
  onJob: (job: ApiJob, before: ApiJob | undefined) => void;
  onLink: (isThere: boolean) => void;
  onError: (text: string) => void;
}

/** The jobs of the list, newest first, as the filter wants them; kept up to date by the server's events. */
export class JobsModel {
  readonly #api: Api;
  readonly #listener: ModelListener;
  readonly #jobs = new Map<string, ApiJob>();
  #filter: Filter = { states: [], name: "" };
  #cursor: string | undefined;
  #loading: AbortController | undefined;
  /** Jobs that events have told of while a page was fetched */
  readonly #meanwhile = new Map<string, ApiJob>();
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

  /** Fetches the newest jobs, in place of those that are there. */
  async load(): Promise<void> {
    const page = await this.#fetch(undefined);
    if (page === undefined) return;
    this.#jobs.clear();
    this.#add(page);
  }

  /** Fetches older ones. */
  async more(): Promise<void> {
    if (this.#cursor === undefined) return;
    const page = await this.#fetch(this.#cursor);
    if (page !== undefined) this.#add(page);
  }

  /** Follows changes until the signal is aborted. What has changed while there was no connection is fetched with the list. */
  async follow(signal: AbortSignal): Promise<void> {
    await readEvents({
      open: async (lastId, signal) => await this.#api.events("api/v2/events", lastId, signal),
      onEvents: (events) => {
        this.#take(events);
        return false;
      },
      onLink: (isThere) => {
        this.#listener.onLink(isThere);
        if (isThere) void this.load();
      },
      signal,
    });
  }

  #add({ builds, cursor }: ApiJobs): void {
    for (const job of builds) this.#jobs.set(job.id, job);
    this.#cursor = cursor;
    this.hasLoaded = true;
    this.#most = this.#jobs.size + MOST_NEW;
    for (const job of this.#meanwhile.values()) {
      // The page may be older than the event, and the event older than the page: what is over stays over.
      const fetched = this.#jobs.get(job.id);
      if (fetched === undefined || !isOver(fetched)) this.#put(job);
    }
    this.#listener.onList();
  }

  async #fetch(cursor: string | undefined): Promise<ApiJobs | undefined> {
    this.#loading?.abort();
    const loading = (this.#loading = new AbortController());
    this.#meanwhile.clear();
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

  /** Takes a job as it is now. */
  take(job: ApiJob): void {
    const before = this.#jobs.get(job.id);
    if (this.#loading !== undefined) this.#meanwhile.set(job.id, job);
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

  /** One that is older than the list comes with the next page. */
  #isNewer(id: string): boolean {
    for (const other of this.#jobs.keys()) if (other < id) return true;
    return this.#jobs.size === 0;
  }
}
