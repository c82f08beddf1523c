import { expect, test } from "vitest";
import { isFolderPath, LayerFolders } from "../../../src/delta/layer-folders.ts";

function foldersOf(...paths: (string | undefined)[]): string[] {
  const folders = new LayerFolders();
  for (const path of paths) folders.add(path);
  return folders.list();
}

const many = (count: number, path: (at: number) => string): string[] =>
  Array.from({ length: count }, (_, at) => path(at));

test("returns the deepest folder that contains all files", () => {
  expect(foldersOf()).toEqual([]);
  expect(foldersOf("app/node_modules/a/index.js")).toEqual(["/app/node_modules/a"]);
  expect(foldersOf("app/node_modules/a/index.js", "app/node_modules/b/lib/b.js")).toEqual(["/app/node_modules"]);
  expect(foldersOf(...many(500, (at) => `./app/node_modules/${at}/index.js`))).toEqual(["/app/node_modules"]);
  expect(foldersOf("app/node_modules/a/index.js", "app/package.json")).toEqual(["/app"]);
  expect(foldersOf("srv/x/y/z/a", "srv/x/y/z/w/b", "srv/x/y/z/w/c")).toEqual(["/srv/x/y/z"]);
});

test("returns several folders that have little in common", () => {
  expect(foldersOf("usr/lib/a/b", "etc/passwd", "usr/bin/node", "usr/lib/c/d")).toEqual([
    "/usr/lib",
    "/usr/bin",
    "/etc",
  ]);
});

test("returns the root for files at the top level, in many folders, or at an unknown path", () => {
  expect(foldersOf("app/a", "file")).toEqual(["/"]);
  expect(foldersOf("file", "app/a")).toEqual(["/"]);
  expect(foldersOf(...many(9, (at) => `${at}/a/b`))).toEqual(["/"]);
  expect(foldersOf("app/a", undefined)).toEqual(["/"]);
  expect(foldersOf(undefined)).toEqual(["/"]);
  expect(foldersOf("app/../../etc/passwd")).toEqual(["/"]);
});

test("returns at most 32 folders", () => {
  expect(foldersOf(...many(32, (at) => `usr/${at}/file`))).toHaveLength(32);
  expect(foldersOf(...many(33, (at) => `usr/${at}/file`))).toEqual(["/usr"]);
  const two = [...many(20, (at) => `usr/${at}/file`), ...many(20, (at) => `var/${at}/file`)];
  expect(foldersOf(...two)).toEqual([...many(20, (at) => `/usr/${at}`), "/var"]);
  expect(
    foldersOf(...many(8, (top) => `${top}/a/file`), ...many(400, (at) => `${at % 8}/${at}/file`)).length,
  ).toBeLessThanOrEqual(32);
});

test("ends a path before a name that is not UTF-8, contains a NUL, or is too long", () => {
  expect(foldersOf("app/lib/b\uFFFD/file")).toEqual(["/app/lib"]);
  expect(foldersOf("app/lib/b\0/file")).toEqual(["/app/lib"]);
  expect(foldersOf(`app/lib/${"x".repeat(5000)}/file`)).toEqual(["/app/lib"]);
});

test("returns valid folders, which contain each file, for any paths", () => {
  const names = ["", ".", "..", "a", "b", "ü", "x".repeat(300), "\uFFFD"];
  for (let seed = 1; seed < 3000; seed += 1) {
    const paths = many(1 + (seed % 7), (at) =>
      many(1 + ((seed * (at + 3)) % 6), (i) => names[(seed * 7 + at * 31 + i * i * (seed % 13)) % 8] as string).join(
        "/",
      ),
    );
    const folders = foldersOf(...paths);
    expect(folders.every(isFolderPath)).toBe(true);
    for (const path of paths) {
      const normal = `/${path
        .split("/")
        .filter((part) => part !== "" && part !== ".")
        .join("/")}/`;
      expect(folders.some((folder) => folder === "/" || normal.startsWith(`${folder}/`))).toBe(true);
    }
  }
});

test("accepts only absolute, normalised paths from the peer", () => {
  expect(["/", "/app", "/app/node_modules", "/ü"].every(isFolderPath)).toBe(true);
  expect(
    ["", "app", "/app/", "//", "/app//b", "/app/../b", "/..", "/.", "/a\0", `/${"x".repeat(4096)}`].some(isFolderPath),
  ).toBe(false);
});
