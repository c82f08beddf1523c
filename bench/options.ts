import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { LINKS, type Link } from "./links.ts";
import { oursIn } from "./peers/ours.ts";
import { PEERS } from "./peers/peers.ts";
import type { Peer } from "./peers/peer.ts";
import { SCENARIOS, type Scenario } from "./scenarios.ts";
import { STORES, type Store } from "./stores.ts";

export interface Options {
  stores: Store[];
  scenarios: Scenario[];
  links: Link[];
  peers: Peer[];
  /** If undefined, a quick case has three transfers, and a slow case has one. */
  repeat: number | undefined;
  json: string;
  svg: string;
  add: boolean;
  /** Only draws the picture and prints the table of the existing results. */
  draw: boolean;
  /** Compares dry runs with transfers, and measures nothing else. */
  plan: boolean;
  /** Options for both pushes of a comparison. */
  pushOptions: string[];
}

export const USAGE = `npm run bench -- [options]; separate several values with commas

--store     ${STORES.map(({ name }) => name).join(", ")}
--scenario  ${SCENARIOS.map(({ name }) => name).join(", ")}
--link      ${LINKS.map(({ name }) => name).join(", ")}
--peer      ${Object.keys(PEERS).join(", ")}
--before FOLDER  also measure the build in another clone of this project, such as an earlier commit
--repeat N  transfers of each case, whose median is reported (3 by default, 1 if a transfer takes more than 20 s)
--quick     containerd, 100mbit, nothing and app, ours and zstd, one transfer each; other options override these
--json FILE --svg FILE   where to write the results (bench/results.json, docs/bench.svg)
--add       keep the rows of FILE for cases that are not measured now
--draw      measure nothing: draw the picture and print the table of FILE
--plan      run each scenario with --dry-run and then without, and print the plan next to the sent bytes
--push-options WORDS   with --plan: options of both pushes, separated by spaces`;

const QUICK = { store: "containerd", link: "100mbit", scenario: "nothing,app", peer: "ours,zstd", repeat: "1" };

/** Reads the command line. Throws an error if a value is unknown. */
export function readOptions(args: string[]): Options {
  const word = { type: "string" } as const;
  const flag = { type: "boolean", default: false } as const;
  const { values } = parseArgs({
    args,
    options: {
      store: word,
      scenario: word,
      link: word,
      peer: word,
      before: word,
      repeat: word,
      json: word,
      svg: word,
      quick: flag,
      add: flag,
      draw: flag,
      plan: flag,
      "push-options": word,
    },
  });
  const chosen = { ...(values.quick ? QUICK : {}), ...values };
  const repeat = chosen.repeat === undefined ? undefined : Number(chosen.repeat);
  if (repeat !== undefined && !(Number.isInteger(repeat) && repeat > 0)) throw new Error(`--repeat ${chosen.repeat}?`);
  return {
    stores: choose("store", chosen.store, byName(STORES)),
    scenarios: choose("scenario", chosen.scenario, byName(SCENARIOS)),
    links: choose("link", chosen.link, byName(LINKS)),
    peers: [
      ...choose("peer", chosen.peer, PEERS),
      ...(values.before === undefined ? [] : [oursIn(resolve(values.before))]),
    ],
    repeat,
    json: values.json ?? "bench/results.json",
    svg: values.svg ?? "docs/bench.svg",
    add: values.add,
    draw: values.draw,
    plan: values.plan,
    pushOptions: (values["push-options"] ?? "").split(" ").filter((option) => option !== ""),
  };
}

function byName<T extends { name: string }>(things: T[]): Record<string, T> {
  return Object.fromEntries(things.map((thing) => [thing.name, thing]));
}

/** Returns the named things in the order of the table, not of the command line. */
function choose<T>(option: string, words: string | undefined, things: Record<string, T>): T[] {
  if (words === undefined) return Object.values(things);
  const names = words.split(",");
  const unknown = names.find((name) => !Object.hasOwn(things, name));
  if (unknown !== undefined) throw new Error(`--${option} ${unknown}? There are ${Object.keys(things).join(", ")}.`);
  return Object.entries(things).flatMap(([name, thing]) => (names.includes(name) ? [thing] : []));
}
