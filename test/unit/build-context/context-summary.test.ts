import { describe, expect, test } from "vitest";
import type { ContextEntry } from "../../../src/build-context/build-context.ts";
import { contextSummary, ignoreLine } from "../../../src/build-context/context-summary.ts";
import { findEntry } from "../../../src/build-context/find-entry.ts";
import { comparePaths, toEntryPath } from "../../../src/build-context/paths.ts";
import { contextFolder, pathsOf } from "./context-folder.ts";

const base = { mode: 0o644, mtime: 0 };
const file = (path: string, size = 0): ContextEntry => ({ kind: "file", path: toEntryPath(path), size, ...base });
const context = (...entries: ContextEntry[]) => ({ entries: entries.toSorted((a, b) => comparePaths(a.path, b.path)) });

describe("the summary of a context", () => {
  test("counts files and bytes", () => {
    const { files, bytes } = contextSummary(
      context(
        { kind: "folder", path: "a", ...base },
        file("a/b", 10),
        file("c", 5),
        { kind: "symlink", path: "d", target: "c", ...base },
        { kind: "hard-link", path: "e", target: "c", ...base },
      ),
    );
    expect({ files, bytes }).toEqual({ files: 4, bytes: 15 });
  });

  test.each<[string, [string, number][], [string, number][]]>([
    ["of an empty context: nothing", [], []],
    ["of empty files: nothing", [["a/b", 0]], []],
    [
      "largest first",
      [
        ["a/x", 15],
        ["a/y", 15],
        ["b/x", 20],
        ["b/y", 40],
        ["c", 10],
      ],
      [
        ["b", 60],
        ["a", 30],
        ["c", 10],
      ],
    ],
    [
      "where most of it is",
      [
        ["app/web/data/x", 900],
        ["app/web/data/y", 900],
        ["app/web/src", 10],
        ["x", 50],
      ],
      [
        ["app/web/data", 1800],
        ["x", 50],
      ],
    ],
    [
      "down to a single file",
      [
        ["a/b/dump.sql", 990],
        ["a/b/c", 5],
      ],
      [["a/b/dump.sql", 990]],
    ],
    [
      "a folder that programs make, as a whole",
      [
        ["web/node_modules/.cache/x/y", 990],
        ["web/node_modules/z", 1],
      ],
      [["web/node_modules", 991]],
    ],
    ["a folder whose name begins with a dot, as a whole", [[".git/objects/pack/p", 990]], [[".git", 990]]],
    [
      "at most five, and none that is small",
      Array.from("abcdefg", (name, index): [string, number] => [name, 100 - index]),
      [
        ["a", 100],
        ["b", 99],
        ["c", 98],
        ["d", 97],
        ["e", 96],
      ],
    ],
    [
      "not what makes no difference",
      [
        ["a", 1000],
        ["b", 10],
      ],
      [["a", 1000]],
    ],
    ["with their names in Unicode", [["é/☺", 10]], [["é/☺", 10]]],
  ])("names the largest entries: %s", (_, sizes, largest) => {
    const { largest: actual } = contextSummary(context(...sizes.map(([path, size]) => file(path, size))));
    expect(actual.map(({ path, bytes }) => [path, bytes])).toEqual(largest);
  });

  test.each([".dockerignore", ".gitignore"])(
    "a line for %s excludes the path that it names, and no other path",
    async (ignoreFile) => {
      const names = ["a", "sub/a", "*", "a*", "[a]", "!b", "#c", " d", "e ", "f\\", "é", "(g)", "{h,i}", "x?", "-"];
      for (const name of names) {
        using folder = contextFolder({
          ...Object.fromEntries(names.map((each) => [each, ""])),
          [ignoreFile]: ignoreLine(name),
        });
        const paths = await pathsOf(folder.path);
        expect(names.filter((each) => !paths.includes(each))).toEqual([name]);
      }
    },
  );
});

describe("findEntry", () => {
  const entries = context(file("a"), file("a.b"), file("a-b"), file("é/☺"), file("a/b/c"), file("zz"), {
    kind: "folder",
    path: "x",
    ...base,
  });
  test.each(["a", "a.b", "a-b", "é/☺", "a/b/c", "zz", "x"])("finds %s", (path) => {
    expect(findEntry(entries, path)?.path).toBe(toEntryPath(path));
  });
  test.each(["", "b", "a/b", "zzz", "A", "./a", "é"])("does not find %j", (path) => {
    expect(findEntry(entries, path)).toBeUndefined();
  });
});
