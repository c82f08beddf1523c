import type { JobPhase } from "../src/jobs/job.ts";
import { element } from "./dom.ts";
import { ago, bytes, duration, fullTime, plural } from "./format.ts";
import { type ApiJob, nameElements, positionText, runSeconds, STATE_TEXT } from "./job.ts";
import { separator, stateIcon } from "./list-view.ts";
import { type Filter, writeRoute } from "./route.ts";

/** The facts of a job, for people. Each function returns new elements. */

export function titleOf(job: ApiJob): (Node | string)[] {
  return [stateIcon(job), element("span", {}, ...nameElements(job.name))];
}

export function summaryOf(job: ApiJob, now: number): Node[] {
  const seconds = runSeconds(job, now);
  const state =
    job.state === "queued" && job.position !== undefined
      ? `queued, ${positionText(job.position)}`
      : STATE_TEXT[job.state];
  const isStopping = job.cancelledAt !== undefined && job.finishedAt === undefined;
  const parts: Node[] = [
    element("span", { class: "state", "data-state": job.state }, isStopping ? `${state}, being cancelled` : state),
  ];
  if (seconds !== undefined) parts.push(element("span", {}, duration(seconds)));
  parts.push(element("span", {}, `by ${job.owner}`));
  parts.push(element("time", { datetime: job.acceptedAt, title: fullTime(job.acceptedAt) }, ago(job.acceptedAt, now)));
  if (job.attempts > 1) parts.push(element("span", {}, `attempt ${job.attempts}`));
  return parts.flatMap((part, index) => (index === 0 ? [part] : [separator(), part]));
}

/** Returns why a job has ended, or is queued again; undefined without a reason. */
export function reasonOf({ reason, state }: ApiJob): HTMLElement | undefined {
  // The state already shows that a cancelled build was cancelled.
  if (reason === undefined || reason.code === state) return undefined;
  return element(
    "div",
    { class: "reason", "data-state": state },
    element("p", { class: "reason-text" }, reason.message),
    reason.expected !== undefined && element("p", {}, `Expected: ${reason.expected}`),
    reason.hint !== undefined && element("p", {}, reason.hint),
    element("p", { class: "note" }, `Code: ${reason.code}`),
  );
}

const PHASES: readonly JobPhase[] = ["queue", "fetch", "context", "build", "push", "purge"];

/** Returns a bar of the phases, proportional to their durations. */
export function phasesOf({ seconds }: ApiJob): HTMLElement | undefined {
  const known = PHASES.filter((phase) => seconds[phase] !== undefined);
  if (known.length === 0) return undefined;
  const items = known.map((phase) => {
    const took = seconds[phase] ?? 0;
    const item = element(
      "li",
      { "data-phase": phase },
      element("span", {}, phase),
      " ",
      element("b", {}, duration(took)),
    );
    item.style.flexGrow = String(Math.max(took, 0.001));
    return item;
  });
  return element("ul", { class: "phases", "aria-label": "Time of each phase" }, ...items);
}

type Fact = [name: string, value: string | Node | undefined, isCode?: "code"];

export function factsOf(job: ApiJob, filter: Filter): HTMLElement {
  const { source, retryOf, size, contextBytes } = job;
  const again =
    retryOf === undefined ? undefined : element("a", { href: writeRoute({ job: retryOf, filter }) }, retryOf);
  const facts: Fact[] = [
    ["Digest", job.digest, "code"],
    ["Image ID", job.imageId, "code"],
    ["Size", size === undefined ? undefined : bytes(size)],
    ["Context", contextBytes === undefined ? undefined : bytes(contextBytes)],
    ["Source", sourceText(source)],
    ["Dockerfile", job.file === "Dockerfile" ? undefined : job.file, "code"],
    ["Target", job.target],
    ["Platform", job.platform],
    ["Build arguments", pairs(job.buildArgs), "code"],
    ["Labels", pairs(job.labels), "code"],
    ["Options", optionsText(job)],
    ["Worker", job.worker, "code"],
    ["Engine", job.engine, "code"],
    ["Webhook", job.webhook, "code"],
    ["Retry of", again, "code"],
    [
      "Log",
      job.log.lines === 0
        ? undefined
        : `${plural(job.log.lines, "line")}, ${bytes(job.log.bytes)}${job.log.isCut ? ", cut" : ""}`,
    ],
    ["Build", job.id, "code"],
  ];
  return element(
    "dl",
    { class: "facts" },
    ...facts.flatMap(([name, value, isCode]) =>
      value === undefined || value === ""
        ? []
        : [element("div", {}, element("dt", {}, name), element("dd", { class: isCode }, value))],
    ),
  );
}

function sourceText({ kind, url = "", bytes: size = 0 }: ApiJob["source"]): string {
  if (kind === "address") return url;
  return `${kind === "archive" ? "an archive" : "a Dockerfile"} of ${bytes(size)}`;
}

function pairs(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name}=${value}`)
    .join("  ");
}

function optionsText({ push, purge, noCache, pull, limits }: ApiJob): string {
  const { memory, cpus, network } = limits;
  const options = [
    push ? "" : "not pushed",
    purge ? "" : "stays on the engine",
    noCache ? "no cache" : "",
    pull ? "newer bases" : "",
    memory === undefined ? "" : `${bytes(memory)} of memory`,
    cpus === undefined ? "" : plural(cpus, "CPU"),
    network === undefined || network === "default" ? "" : `network ${network}`,
  ];
  return options.filter((option) => option !== "").join(", ");
}
