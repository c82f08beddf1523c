/** The page. Its address (route.ts) determines the shown view, and the server's events update the list. */
import { Announcer } from "./announcer.ts";
import { Api, errorText } from "./api.ts";
import { byId, setAttributes, setText } from "./dom.ts";
import { Follower } from "./follower.ts";
import { type ApiJob, nameParts, STATE_TEXT } from "./job.ts";
import { JobView } from "./job-view.ts";
import { JobsModel } from "./jobs-model.ts";
import { listenToKeys } from "./keys.ts";
import { ListView } from "./list-view.ts";
import { readRoute, type Route, writeRoute } from "./route.ts";
import { Session } from "./session.ts";
import { WorkersView } from "./workers-view.ts";

const main = byId("main", HTMLElement);
const filterName = byId("filter-name", HTMLInputElement);
const filterState = byId("filter-state", HTMLSelectElement);
const link = byId("link", HTMLElement);
const linkText = byId("link-text", HTMLElement);

let route = readRoute(location.hash);
/** The view in `main` */
let shown: { view: JobView | WorkersView; abort: AbortController; isDue: boolean } | undefined;

const announcer = new Announcer();
const api = new Api(new Session());
const follower = new Follower(main, () => shown?.view instanceof JobView && shown.view.showFollow());
const model = new JobsModel(api, {
  onList: () => list.draw(),
  onJob: (job, before) => {
    if (before !== undefined && before.state !== job.state) announcer.changed(job);
    if (shown?.view instanceof JobView && route.job === job.id) {
      shown.view.update(job);
      setTitle();
    }
    if (before?.state !== job.state && shown !== undefined) shown.isDue = true;
  },
  onLink: (isConnected) => {
    link.dataset["link"] = isConnected ? "there" : "lost";
    setText(linkText, isConnected ? "live" : "reconnecting");
    if (isConnected) list.showProblem("");
    if (shown !== undefined) shown.isDue = true;
  },
  onError: (text) => list.showProblem(text),
});
const list = new ListView(model, () => route);

function go(to: Partial<Route>): void {
  location.hash = writeRoute({ ...route, ...to });
}

/** Shows the view of the address. */
function show(): void {
  const before = route;
  route = readRoute(location.hash);
  const { job, view, filter } = route;
  filterName.value = filter.name;
  filterState.value = filter.states.join(",");
  document.body.dataset["pane"] = job !== undefined || view !== undefined ? "main" : "list";
  setAttributes(byId("home", HTMLAnchorElement), { href: writeRoute({ filter }) });
  setAttributes(byId("workers-link", HTMLAnchorElement), {
    href: writeRoute({ filter, view: "workers" }),
    "aria-current": job === undefined && view !== undefined ? "page" : undefined,
  });
  if (writeRoute({ filter }) !== writeRoute({ filter: before.filter })) void model.setFilter(filter);
  list.draw();
  if (shown === undefined || job !== before.job || view !== before.view) showMain(shown !== undefined);
}

function showMain(isMove: boolean): void {
  shown?.abort.abort();
  const abort = new AbortController();
  const { job } = route;
  follower.reset();
  if (job === undefined) {
    const view = new WorkersView(api, () => route);
    shown = { view, abort, isDue: false };
    void view.refresh(abort.signal);
  } else {
    const take = (job: ApiJob): void => model.take(job);
    const context = { api, follower, route: () => route, take, say: (text: string) => announcer.say(text) };
    const view = new JobView(job, context, abort.signal);
    shown = { view, abort, isDue: false };
    const known = model.get(job);
    if (known !== undefined) view.update(known);
    void view.run();
  }
  main.replaceChildren(shown.view.element);
  if (isMove && (job !== undefined || route.view !== undefined)) shown.view.title.focus({ preventScroll: true });
  setTitle();
}

function setTitle(): void {
  const job = shown?.view instanceof JobView ? shown.view.job : undefined;
  document.title = job === undefined ? "Builds" : `${STATE_TEXT[job.state]}: ${nameParts(job.name).last}`;
}

/** Puts the filter into the address, and replaces the previous one. */
function filter(): void {
  const states = readRoute(`#${new URLSearchParams({ status: filterState.value })}`).filter.states;
  history.replaceState(undefined, "", writeRoute({ ...route, filter: { states, name: filterName.value.trim() } }));
  show();
}

let typing: number | undefined;
filterName.addEventListener("input", () => {
  clearTimeout(typing);
  typing = window.setTimeout(filter, 200);
});
filterState.addEventListener("change", filter);
byId("filter", HTMLFormElement).addEventListener("submit", (event) => {
  event.preventDefault();
  filter();
  list.links[0]?.focus();
});

listenToKeys({
  move: (by, isArrow) => {
    const { links } = list;
    const at = links.findIndex((link) => link === document.activeElement);
    const isFromFilter = document.activeElement === filterName && by === 1;
    if (isArrow && at < 0 && !isFromFilter) return false;
    const current = links.findIndex((link) => link === list.link(route.job));
    const next = at >= 0 ? at + by : current >= 0 && !isFromFilter ? current + by : 0;
    if (isArrow && next < 0) filterName.focus();
    else links[Math.min(Math.max(next, 0), links.length - 1)]?.focus();
    return true;
  },
  filter: () => {
    const isHidden = document.body.dataset["pane"] === "main" && filterName.offsetParent === null;
    // At once, because the next typed letters belong there.
    if (!isHidden) return filterName.select();
    go({ job: undefined, view: undefined });
    requestAnimationFrame(() => filterName.select());
  },
  follow: () => shown?.view instanceof JobView && shown.view.toggleFollow(),
  error: () => shown?.view instanceof JobView && shown.view.goToError(),
  back: () => {
    const { job } = route;
    if (document.activeElement === filterName && filterName.value !== "") {
      filterName.value = "";
      return filter();
    }
    if (job === undefined && route.view === undefined) return list.links[0]?.focus();
    go({ job: undefined, view: undefined });
    requestAnimationFrame(() => (list.link(job) ?? list.links[0])?.focus());
  },
});

addEventListener("hashchange", show);
document.querySelector(".skip")?.addEventListener("click", (event) => {
  event.preventDefault();
  shown?.view.title.focus();
});

/** Updates running times, and fetches facts that events omit: the queue after a change, workers at intervals. */
let ticks = 0;
setInterval(() => {
  if (document.visibilityState === "hidden" || shown === undefined) return;
  ticks += 1;
  const { view, isDue, abort } = shown;
  if (view instanceof JobView) {
    view.tick();
    if (view.job?.state === "queued" && isDue) void view.refresh();
    shown.isDue = false;
  } else if (isDue || ticks % 5 === 0) {
    shown.isDue = false;
    void view.refresh(abort.signal);
  }
}, 1_000);

if (route.filter.states.length > 0 || route.filter.name !== "") void model.setFilter(route.filter);
show();
model.follow(new AbortController().signal).catch((error: unknown) => list.showProblem(errorText(error)));
