import { bytes, oneLine } from "../output/describe.ts";
import type { Built } from "../output/build-events.ts";

/** Returns the report of a build, a line for each fact: `name: VALUE`. Scripts read it, so lines may be added but never removed. */
export function reportText({ names, id, digest, size, ms }: Built, removed: readonly string[]): string {
  const facts: [string, string | undefined][] = [
    ...names.map((name): [string, string] => ["name", name]),
    ["image ID", id],
    ["digest", digest],
    ["size", size === undefined ? undefined : `${size} (${bytes(size)})`],
    ["seconds", (ms.total / 1000).toFixed(1)],
    ...removed.map((name): [string, string] => ["removed", name]),
  ];
  return facts.flatMap(([fact, value]) => (value === undefined ? [] : [`${fact}: ${oneLine(value)}\n`])).join("");
}
