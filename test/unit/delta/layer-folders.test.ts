import { expect, test } from "vitest";
import { isFolderPath, LayerFolders } from "../../../src/delta/layer-folders.ts";

function rootsOf(...paths: (string | undefined)[]): string[] {
  const folders = new LayerFolders();
  for (const path of paths) folders.add(path);
  return folders.list();
}

const many = (count: number, path: (at: number) => string): string[] =>
  Array.from({ length: count }, (_, at) => path(at));

test("the folder that all files lie in, and no deeper than that", () => {
  expect(rootsOf()).toEqual([]);
  expect(rootsOf("app/node_modules/a/index.js")).toEqual(["/app/node_modules/a"]);
  expect(rootsOf("app/node_modules/a/index.js", "app/node_modules/b/lib/b.js")).toEqual(["/app/node_modules"]);
  expect(rootsOf(...many(500, (at) => `./app/node_modules/${at}/index.js`))).toEqual(["/app/node_modules"]);
  expect(rootsOf("app/node_modules/a/index.js", "app/package.json")).toEqual(["/app"]);
  expect(rootsOf("srv/x/y/z/a", "srv/x/y/z/w/b", "srv/x/y/z/w/c")).toEqual(["/srv/x/y/z"]);
});

test("several folders that have little in common", () => {
  expect(rootsOf("usr/lib/a/b", "etc/passwd", "usr/bin/node", "usr/lib/c/d")).toEqual(["/usr/lib", "/usr/bin", "/etc"]);
});

test("everywhere, where files lie at the top, in many folders, or nobody knows where", () => {
  expect(rootsOf("app/a", "file")).toEqual(["/"]);
  expect(rootsOf("file", "app/a")).toEqual(["/"]);
  expect(rootsOf(...many(9, (at) => `${at}/a/b`))).toEqual(["/"]);
  expect(rootsOf("app/a", undefined)).toEqual(["/"]);
  expect(rootsOf(undefined)).toEqual(["/"]);
  expect(rootsOf("app/../../etc/passwd")).toEqual(["/"]);
});

test("never more than 32", () => {
  expect(rootsOf(...many(32, (at) => `usr/${at}/file`))).toHaveLength(32);
  expect(rootsOf(...many(33, (at) => `usr/${at}/file`))).toEqual(["/usr"]);
  const two = [...many(20, (at) => `usr/${at}/file`), ...many(20, (at) => `var/${at}/file`)];
  expect(rootsOf(...two)).toEqual([...many(20, (at) => `/usr/${at}`), "/var"]);
  expect(
    rootsOf(...many(8, (top) => `${top}/a/file`), ...many(400, (at) => `${at % 8}/${at}/file`)).length,
  ).toBeLessThanOrEqual(32);
});

test("a name that is not UTF-8, has a NUL, or is too long ends the path before it", () => {
  expect(rootsOf("app/lib/b\uFFFD/file")).toEqual(["/app/lib"]);
  expect(rootsOf("app/lib/b\0/file")).toEqual(["/app/lib"]);
  expect(rootsOf(`app/lib/${"x".repeat(5000)}/file`)).toEqual(["/app/lib"]);
});

test("whatever the paths, the roots can be told, and every file lies in one", () => {
  const names = ["", ".", "..", "a", "b", "ü", "x".repeat(300), "\uFFFD"];
  for (let seed = 1; seed < 3000; seed += 1) {
    const paths = many(1 + (seed % 7), (at) =>
      many(1 + ((seed * (at + 3)) % 6), (i) => names[(seed * 7 + at * 31 + i * i * (seed % 13)) % 8] as string).join(
        "/",
      ),
    );
    const folders = rootsOf(...paths);
    expect(folders.every(isFolderPath)).toBe(true);
    for (const path of paths) {
      const normal = `/${path
        .split("/")
        .filter((part) => part !== "" && part !== ".")
        .join("/")}/`;
      expect(folders.some((root) => root === "/" || normal.startsWith(`${root}/`))).toBe(true);
    }
  }
});

test("a root from the other end is an absolute path without detours", () => {
  expect(["/", "/app", "/app/node_modules", "/ü"].every(isFolderPath)).toBe(true);
  expect(
    ["", "app", "/app/", "//", "/app//b", "/app/../b", "/..", "/.", "/a\0", `/${"x".repeat(4096)}`].some(isFolderPath),
  ).toBe(false);
});
