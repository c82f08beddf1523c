import { execa } from "execa";
import { buildImage } from "./images.ts";
import { typed, forgetLayers } from "./measure.ts";
import type { Options } from "./options.ts";
import { ours } from "./peers/ours.ts";
import { Receiver, type State } from "./receiver.ts";
import type { RunContext } from "./run.ts";
import { byBefore, type Scenario } from "./scenarios.ts";
import { openStage, type Stage } from "./stage.ts";
import type { Store } from "./stores.ts";

/** The plan of a dry run, and the bytes that the transfer after it sent. */
export interface PlanRow {
  store: string;
  scenario: string;
  link: string;
  planned: number;
  isExact: boolean;
  sent: number;
  /** How each layer of the plan is sent, the bottom layer first. */
  ways: string;
  /** A rebuild was planned and then abandoned because it was slower than the whole layer. */
  isGivenUp: boolean;
}

interface Events {
  plan?: { bytes?: { count: number; isExact: boolean }; perLayer?: { way: string }[] };
  result?: { bytesSent: number; bytesRebuilt: number };
}

/** Runs each scenario first as a dry run, and then as a transfer. The receiver has app:v1. */
export async function comparePlans(
  store: Store,
  { scenarios, links, pushOptions }: Options,
  { say, signal }: Pick<RunContext, "say" | "signal">,
): Promise<PlanRow[]> {
  say(`${store.name}: starting engines`);
  await using stage = await openStage(store);
  const { bed } = stage;
  const receiver = new Receiver(stage);
  const fresh = await receiver.state();
  const rows: PlanRow[] = [];
  for (const group of byBefore(scenarios)) {
    say(`${store.name}: app:v1 for ${group.map(({ name }) => name).join(", ")}`);
    const before = await prepare(stage, receiver, fresh, group[0]?.before ?? [], signal);
    for (const { name, after } of group) {
      say(`${store.name}: building the image of "${name}"`);
      await bed.near.docker("tag", await buildImage(bed.near, after), "app:v2");
      for (const link of links) {
        signal.throwIfAborted();
        await bed.limitRate(link.mbit);
        await receiver.putBack(before);
        forgetLayers(stage);
        const { plan } = await eventsOf(stage, ["--dry-run", ...pushOptions], signal);
        forgetLayers(stage);
        const { result } = await eventsOf(stage, pushOptions, signal);
        const { count = NaN, isExact = false } = plan?.bytes ?? {};
        const ways = (plan?.perLayer ?? []).map(({ way }) => way).join(" ");
        const sent = result?.bytesSent ?? NaN;
        const isGivenUp = ways.includes("by-delta") && result?.bytesRebuilt === 0;
        const row = {
          store: store.name,
          scenario: name,
          link: link.name,
          planned: count,
          isExact,
          sent,
          ways,
          isGivenUp,
        };
        say(lineOf(row));
        rows.push(row);
      }
    }
  }
  return rows;
}

/** Gives the receiver app:v1. */
async function prepare(
  stage: Stage,
  receiver: Receiver,
  fresh: State,
  layers: Scenario["before"],
  signal: AbortSignal,
): Promise<State> {
  const { bed } = stage;
  await receiver.putBack(fresh);
  if (layers.length === 0) return fresh;
  await bed.limitRate(undefined);
  await bed.near.docker("tag", await buildImage(bed.near, layers), "app:v1");
  forgetLayers(stage);
  await typed(ours.line("app:v1"), stage, signal);
  return await receiver.state();
}

/** Pushes app:v2. Returns the last plan and the result. */
async function eventsOf({ env, bed }: Stage, options: string[], cancelSignal: AbortSignal): Promise<Events> {
  const args = ["push", "--json", ...options, "app:v2", "ssh", "far", "docker-over-ssh pull app:v2"];
  const { stdout } = await execa("docker-over-ssh", args, { env, cancelSignal, stdin: "ignore", cwd: bed.folder });
  const events: Events = {};
  for (const line of stdout.split("\n").filter((text) => text !== "")) {
    const event = JSON.parse(line) as { type: string };
    if (event.type === "plan" || event.type === "result") Object.assign(events, { [event.type]: event });
  }
  return events;
}

function lineOf({ store, scenario, link, planned, isExact, sent, ways, isGivenUp }: PlanRow): string {
  const about = isExact ? "" : "~";
  const why = isGivenUp ? ", rebuild given up" : "";
  return `${store} · ${scenario} · ${link}: planned ${about}${kB(planned)} kB, sent ${kB(sent)} kB; ${ways}${why}`;
}

/** Returns the comparison as a Markdown table. */
export function planTable(rows: readonly PlanRow[]): string {
  const head = ["store", "scenario", "link", "planned, kB", "sent, kB", "more, kB", "sent / planned", "layers"];
  const lines = rows.map(({ store, scenario, link, planned, isExact, sent, ways, isGivenUp }) => [
    store,
    scenario,
    link,
    (isExact ? "" : "~") + kB(planned),
    kB(sent),
    kB(sent - planned),
    planned === 0 ? "" : (sent / planned).toFixed(2),
    isGivenUp ? `${ways}, given up` : ways,
  ]);
  return [head, head.map(() => "---"), ...lines].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

function kB(bytes: number): string {
  return (bytes / 1000).toFixed(0);
}
