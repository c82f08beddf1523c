import { expect, test } from "vitest";
import { selectEntries, type EntryRequest } from "../../../../src/engine/build/session/select-entries.ts";
import { memoryContext } from "./memory-context.ts";

const { entries } = memoryContext({
  Dockerfile: "x",
  "app/src/a.js": "x",
  "app/src/b.ts": "x",
  "app/log/debug.log": "x",
  "app/log/keep.log": "x",
  "lib/one": { text: "same" },
  "lib/two": { text: "same", sameAs: "lib/one" },
  "lib/two-again": { text: "same", sameAs: "lib/one" },
  current: { linkTo: "versions/v2" },
  "versions/v1/x": "x",
  "versions/v2/x": "x",
  "ä/ö": "x",
  loop: { linkTo: "pool" },
  pool: { linkTo: "loop" },
  absolute: { linkTo: "/lib/one" },
  outside: { linkTo: "../../Dockerfile" },
});

function paths(request: Partial<EntryRequest>): string[] {
  const selected = selectEntries(entries, { followPaths: [], includes: [], excludes: [], ...request });
  return selected.map(({ entry }) => Buffer.from(entry.path, "latin1").toString("utf8"));
}

test.each<[string, Partial<EntryRequest>, string[]]>([
  ["a file, with its folders", { includes: ["app/src/a.js"] }, ["app", "app/src", "app/src/a.js"]],
  ["all in a folder", { includes: ["app/log"] }, ["app", "app/log", "app/log/debug.log", "app/log/keep.log"]],
  ["a wildcard in a name", { includes: ["app/*/*.ts"] }, ["app", "app/src", "app/src/b.ts"]],
  ["a wildcard over folders", { includes: ["**/a.js"] }, ["app", "app/src", "app/src/a.js"]],
  ["a name that is not ASCII", { followPaths: ["ä/ö"] }, ["ä", "ä/ö"]],
  ["a path that is not there", { followPaths: ["Dockerfile.dockerignore"] }, []],
  [
    "a link, and what it leads to",
    { followPaths: ["current/x"] },
    ["current", "versions", "versions/v2", "versions/v2/x"],
  ],
  [
    "the links among those that fit",
    { followPaths: ["cur*"] },
    ["current", "versions", "versions/v2", "versions/v2/x"],
  ],
  ["a link from the root", { followPaths: ["absolute"] }, ["absolute", "lib", "lib/one"]],
  ["a link that leads out", { followPaths: ["outside"] }, ["Dockerfile", "outside"]],
  ["links that lead to each other", { followPaths: ["loop/x"] }, ["loop", "pool"]],
  [
    "all but what is excluded",
    { includes: ["app"], excludes: ["**/*.log", "!app/log/keep.log"] },
    ["app", "app/log", "app/log/keep.log", "app/src", "app/src/a.js", "app/src/b.ts"],
  ],
])("selects %s", (_, request, expected) => {
  expect(paths(request)).toEqual(expected);
});

test("the root selects all entries", () => {
  expect(paths({ followPaths: ["/"] })).toHaveLength(entries.length);
});

test("sends a hard link as the file if its target is not selected, and a second hard link as a link to the first", () => {
  const selected = selectEntries(entries, { followPaths: ["lib/two*"], includes: [], excludes: [] });
  expect(selected.map(({ entry, linkTo, content }) => [entry.path, entry.kind, linkTo, content?.path])).toEqual([
    ["lib", "folder", undefined, undefined],
    ["lib/two", "file", undefined, "lib/one"],
    ["lib/two-again", "hard-link", "lib/two", undefined],
  ]);
});

test("an invalid pattern causes an error", () => {
  expect(() => paths({ includes: ["a[b"] })).toThrow(SyntaxError);
});
