import { LINKS } from "./links.ts";
import { SCENARIOS } from "./scenarios.ts";
import { ratio } from "./statistics.ts";
import { STORES } from "./stores.ts";

/** One way, in one scenario, over one link, between the engines of one kind of store. */
export interface Row {
  store: string;
  scenario: string;
  link: string;
  peer: string;
  ours?: true;
  /** Medians of so many transfers. */
  repeats?: number;
  seconds?: number;
  toFar?: number;
  toNear?: number;
  peakNear?: number;
  peakFar?: number;
  /** Why there are no figures. */
  why?: string;
  /** It is not a way to transfer an image: a size to look at. */
  yardstick?: true;
}

export interface Ratios {
  /** To the fastest of the others. */
  seconds: number | undefined;
  /** To the one of the others with the fewest bytes. */
  bytes: number | undefined;
}

/** Who are not us are compared with the best of them, too: 1 is the best one. */
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

/** Bytes both ways. */
export function total({ toFar, toNear }: Row): number | undefined {
  return toFar === undefined ? undefined : toFar + (toNear ?? 0);
}

export function isSameCase(a: Row, b: Row): boolean {
  return a.store === b.store && a.scenario === b.scenario && a.link === b.link;
}

/** What was measured now takes the place of what was measured before. */
export function merge(before: Row[], now: Row[]): Row[] {
  const isReplaced = (old: Row): boolean => now.some((row) => isSameCase(row, old) && row.peer === old.peer);
  return [...before.filter((row) => !isReplaced(row)), ...now];
}

/** By store, scenario and link, as these are told in their own files; who is told first is there first. */
export function sorted(rows: Row[]): Row[] {
  const location = ({ store, scenario, link }: Row): number[] => [
    STORES.findIndex(({ name }) => name === store),
    SCENARIOS.findIndex(({ name }) => name === scenario),
    LINKS.findIndex(({ name }) => name === link),
  ];
  return rows.toSorted((a, b) => {
    const [left, right] = [location(a), location(b)];
    const first = left.findIndex((value, index) => value !== right[index]);
    return first < 0 ? 0 : (left[first] ?? 0) - (right[first] ?? 0);
  });
}
