import { familiarName, tryReference } from "docker-over-ssh/builds";
import type { ImageFilter } from "../backend.ts";
import type { Caller } from "../caller.ts";
import { numberOf, objectOf, type Json } from "./json.ts";
import type { OwnImages } from "./own-images.ts";
import { pathMatch } from "./path-match.ts";
import { readTime } from "./times.ts";

/** Returns the test of `--filter reference=`. A pattern matches a name with or without its tag. Without patterns, all names match. */
export function referenceTest({ references }: ImageFilter): (name: string) => boolean {
  const patterns = references.map(pathMatch);
  if (patterns.length === 0) return () => true;
  return (name) => {
    const reference = tryReference(name);
    const repository = reference === undefined ? name : familiarName(reference);
    return patterns.some((matches) => matches(name) || matches(repository));
  };
}

/**
 * Returns the test of all other filters, which works like that of engines. It looks up the images of `before` and `since` among the tenant's own.
 *
 * @returns a function of an entry of a listing, and of whether the tenant has a name for it
 * @throws Refusal
 */
export async function imageTest(
  own: OwnImages,
  { tenant, signal }: Caller,
  filter: ImageFilter,
): Promise<(raw: Json, isNamed: boolean) => boolean> {
  // Sequential, because each look-up sends a request to the engine, and a request may contain two hundred names.
  const timesOf = async (names: readonly string[]): Promise<number[]> => {
    const times: number[] = [];
    for (const name of names) times.push((await own.find(tenant.id, name, signal)).created);
    return times;
  };
  // Times in a listing are whole seconds.
  const seconds = (times: readonly number[]): number[] => times.map((time) => Math.floor(time / 1000));
  const before = Math.min(Infinity, ...seconds(await timesOf(filter.before)));
  const since = Math.max(-Infinity, ...seconds(await timesOf(filter.since)));
  const until = Math.min(Infinity, ...filter.until.map((time) => readTime(time, Date.now()) / 1000));
  const hasLabels = labelTest(filter.labels);
  return (raw, isNamed) => {
    const created = numberOf(raw["Created"]);
    if (filter.dangling !== undefined && filter.dangling === isNamed) return false;
    return created < before && created > since && created < until && hasLabels(objectOf(raw["Labels"]));
  };
}

/** Returns the test of `--filter label=`. All filters of the form `key` or `key=value` must match. */
export function labelTest(wanted: readonly string[]): (labels: Json) => boolean {
  const pairs = wanted.map((text): [string, string | undefined] => {
    const at = text.indexOf("=");
    return at === -1 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
  });
  return (labels) =>
    pairs.every(([key, value]) => Object.hasOwn(labels, key) && (value === undefined || labels[key] === value));
}
