import { LINKS } from "./links.ts";
import { PEERS } from "./peers/peers.ts";
import { SCENARIOS } from "./scenarios.ts";
import { ratio } from "./statistics.ts";
import { STORES } from "./stores.ts";

/** The figures of one peer in one scenario, over one link, between the engines of one kind of store. */
export interface Row {
  store: string;
  scenario: string;
  link: string;
  peer: string;
  ours?: true;
  /** The number of transfers whose medians are the figures. */
  repeats?: number;
  seconds?: number;
  toFar?: number;
  toNear?: number;
  peakNear?: number;
  peakFar?: number;
  /** Why the row has no figures. */
  why?: string;
  /** Set for a size that is only for comparison, because it does not come from a transfer. */
  yardstick?: true;
}

export interface Ratios {
  /** Ratio to the fastest of the other peers. */
  seconds: number | undefined;
  /** Ratio to the other peer that sends the fewest bytes. */
  bytes: number | undefined;
}

/** Compares a row with the best of the other tools. Another tool is compared with the best of these tools, which gets 1. */
export function ratios(row: Row, rows: Row[]): Ratios {
  const peers = rows.filter(
    (other) => isSameCase(row, other) && !other.ours && !other.yardstick && other.seconds !== undefined,
  );
  const least = (values: (number | undefined)[]): number | undefined =>
    values.length === 0 ? undefined : Math.min(...values.map((value) => value ?? Infinity));
  return {
    seconds: ratio(row.seconds, least(peers.map(({ seconds }) => seconds))),
    bytes: ratio(total(row), least(peers.map(total))),
  };
}

/** Bytes in both directions. */
export function total({ toFar, toNear }: Row): number | undefined {
  return toFar === undefined ? undefined : toFar + (toNear ?? 0);
}

export function isSameCase(a: Row, b: Row): boolean {
  return a.store === b.store && a.scenario === b.scenario && a.link === b.link;
}

/** Replaces earlier rows with the new ones. */
export function merge(before: Row[], now: Row[]): Row[] {
  const isReplaced = (old: Row): boolean => now.some((row) => isSameCase(row, old) && row.peer === old.peer);
  return [...before.filter((row) => !isReplaced(row)), ...now];
}

/** Sorts rows by store, scenario, link and peer, each in the order of its own file, so that every group lists its peers in the same order. */
export function sorted(rows: Row[]): Row[] {
  const peers = Object.values(PEERS).map(({ name }) => name);
  const position = ({ store, scenario, link, peer }: Row): number[] => [
    STORES.findIndex(({ name }) => name === store),
    SCENARIOS.findIndex(({ name }) => name === scenario),
    LINKS.findIndex(({ name }) => name === link),
    // A yardstick is not a peer, and is last.
    peers.includes(peer) ? peers.indexOf(peer) : peers.length,
  ];
  return rows.toSorted((a, b) => {
    const [left, right] = [position(a), position(b)];
    const first = left.findIndex((value, index) => value !== right[index]);
    return first < 0 ? 0 : (left[first] ?? 0) - (right[first] ?? 0);
  });
}
