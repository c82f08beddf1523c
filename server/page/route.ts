import { JOB_STATES, type JobState } from "../src/jobs/job.ts";

/** The view of the page, as encoded in its address after `#`: a person can bookmark it, share it and return to it. */
export interface Route {
  /** The ID of a job */
  job?: string | undefined;
  /** The queue and the workers; a wide screen also shows them while no job is selected. */
  view?: "workers" | undefined;
  filter: Filter;
}

export interface Filter {
  states: readonly JobState[];
  /** Part of an image's name */
  name: string;
}

export function readRoute(hash: string): Route {
  const words = new URLSearchParams(hash.replace(/^#/, ""));
  const job = words.get("job") ?? undefined;
  const states = (words.get("status") ?? "").split(",");
  return {
    job: job !== undefined && /^[\w-]{1,64}$/.test(job) ? job : undefined,
    view: words.get("view") === "workers" ? "workers" : undefined,
    filter: { states: JOB_STATES.filter((state) => states.includes(state)), name: words.get("name") ?? "" },
  };
}

export function writeRoute({ job, view, filter }: Route): string {
  const words = new URLSearchParams();
  if (job !== undefined) words.set("job", job);
  if (view !== undefined) words.set("view", view);
  if (filter.states.length > 0) words.set("status", filter.states.join(","));
  if (filter.name !== "") words.set("name", filter.name);
  return `#${words.toString().replaceAll("%2C", ",").replaceAll("%2F", "/").replaceAll("%3A", ":")}`;
}
