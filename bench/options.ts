import { parseArgs } from "node:util";
import { LINKS, type Link } from "./links.ts";
import { PEERS } from "./peers/peers.ts";
import type { Peer } from "./peers/peer.ts";
import { SCENARIOS, type Scenario } from "./scenarios.ts";
import { STORES, type Store } from "./stores.ts";

export interface Options {
  stores: Store[];
  scenarios: Scenario[];
  links: Link[];
  peers: Peer[];
  /** Undefined: three of the quick ones, one of the slow ones. */
  repeat: number | undefined;
  json: string;
  svg: string;
  add: boolean;
}

export const USAGE = `npm run bench -- [options]; several words of one kind with commas

--store     ${STORES.map(({ name }) => name).join(", ")}
--scenario  ${SCENARIOS.map(({ name }) => name).join(", ")}
--link      ${LINKS.map(({ name }) => name).join(", ")}
--peer      ${Object.keys(PEERS).join(", ")}
--repeat N  transfers of each kind, of which the median is told; else 3, and 1 where one takes more than 20 s
--quick     containerd, 100mbit, nothing and app, ours and zstd, one of each; what is given beside it counts
--json FILE --svg FILE   where the results go (bench/results.json, docs/bench.svg)
--add       keep what FILE says of cases that are not measured now`;

const QUICK = { store: "containerd", link: "100mbit", scenario: "nothing,app", peer: "ours,zstd", repeat: "1" };

/** @throws when a word is not known */
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
      repeat: word,
      json: word,
      svg: word,
      quick: flag,
      add: flag,
    },
  });
  const chosen = { ...(values.quick ? QUICK : {}), ...values };
  const repeat = chosen.repeat === undefined ? undefined : Number(chosen.repeat);
  if (repeat !== undefined && !(Number.isInteger(repeat) && repeat > 0)) throw new Error(`--repeat ${chosen.repeat}?`);
  return {
    stores: choose("store", chosen.store, byName(STORES)),
    scenarios: choose("scenario", chosen.scenario, byName(SCENARIOS)),
    links: choose("link", chosen.link, byName(LINKS)),
    peers: choose("peer", chosen.peer, PEERS),
    repeat,
    json: values.json ?? "bench/results.json",
    svg: values.svg ?? "docs/bench.svg",
    add: values.add,
  };
}

function byName<T extends { name: string }>(things: T[]): Record<string, T> {
  return Object.fromEntries(things.map((thing) => [thing.name, thing]));
}

/** In their own order, whichever they are named in. */
function choose<T>(option: string, words: string | undefined, things: Record<string, T>): T[] {
  if (words === undefined) return Object.values(things);
  const names = words.split(",");
  const unknown = names.find((name) => !Object.hasOwn(things, name));
  if (unknown !== undefined) throw new Error(`--${option} ${unknown}? There are ${Object.keys(things).join(", ")}.`);
  return Object.entries(things).flatMap(([name, thing]) => (names.includes(name) ? [thing] : []));
}
