import { chmodSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import {
  openFolderContext,
  type FolderContextOptions,
} from "../../../../src/build-context/folder/open-folder-context.ts";
import type { AppliedRules } from "../../../../src/build-context/ignore/ignore-rules.ts";
import { contextFolder, pathsOf, type Tree } from "../context-folder.ts";

const isRoot = process.getuid?.() === 0;
if (isRoot) console.log("skipped: an ignore file that may not be read, because root may read all");

describe("the ignore rules of a context", () => {
  const files = { a: "", b: "", Dockerfile: "" };
  test.each<[string, Tree, FolderContextOptions, AppliedRules, string]>([
    ["nothing", {}, {}, { rules: "none" }, "ab"],
    [".dockerignore", { ".dockerignore": "a" }, {}, { rules: "dockerignore", file: ".dockerignore" }, "b"],
    [
      "an empty .dockerignore",
      { ".dockerignore": "", ".gitignore": "a" },
      {},
      { rules: "dockerignore", file: ".dockerignore" },
      "ab",
    ],
    [
      "the one of the Dockerfile",
      { ".dockerignore": "a", "Dockerfile.dockerignore": "b" },
      {},
      { rules: "dockerignore", file: "Dockerfile.dockerignore" },
      "a",
    ],
    [
      "an empty one of the Dockerfile",
      { ".dockerignore": "a", "Dockerfile.dockerignore": "" },
      {},
      { rules: "dockerignore", file: "Dockerfile.dockerignore" },
      "ab",
    ],
    [
      "the one of a Dockerfile in a folder",
      { "x/app.Dockerfile": "", "x/app.Dockerfile.dockerignore": "a", ".dockerignore": "b" },
      { dockerfile: "x/app.Dockerfile" },
      { rules: "dockerignore", file: "x/app.Dockerfile.dockerignore" },
      "b",
    ],
    [".gitignore", { "x/.gitignore": "c", ".gitignore": "a" }, {}, { rules: "gitignore", file: ".gitignore" }, "b"],
    ["one in a folder", { "x/.gitignore": "a", "x/a": "" }, {}, { rules: "gitignore", file: "x/.gitignore" }, "ab"],
    ["a repository without one", { ".git/HEAD": "" }, {}, { rules: "gitignore" }, "ab"],
    ["no .gitignore by choice", { ".gitignore": "a", ".git/HEAD": "" }, { gitignore: false }, { rules: "none" }, "ab"],
    [
      ".dockerignore without .gitignore",
      { ".dockerignore": "b" },
      { gitignore: false },
      { rules: "dockerignore", file: ".dockerignore" },
      "a",
    ],
    ["a folder of that name", { ".dockerignore/x": "" }, {}, { rules: "none" }, "ab"],
  ])("%s", async (_, tree, options, rules, kept) => {
    using folder = contextFolder({ ...files, ...tree });
    await using context = await openFolderContext(folder.path, options);
    expect(context.applied).toEqual(rules);
    expect(
      context.entries
        .map(({ path }) => path)
        .filter((path) => /^[ab]$/.test(path))
        .join(""),
    ).toBe(kept);
  });

  test("without rules, .git is sent, as with docker", async () => {
    using folder = contextFolder({ ".git/HEAD": "" });
    expect(await pathsOf(folder.path, { gitignore: false })).toEqual([".git/", ".git/HEAD"]);
  });
});

describe("an ignore file that is a link", () => {
  test.each<[string, Tree]>([
    ["to a file next to it", { ".dockerignore": "-> rules", rules: "a" }],
    ["to a link", { ".dockerignore": "-> x/one", "x/one": "-> ../two", two: "a" }],
    ["through a folder that is a link", { ".dockerignore": "-> x/rules", x: "-> y", "y/rules": "a" }],
    ["to an absolute path, which begins at the context", { ".dockerignore": "-> /x/rules", "x/rules": "a" }],
    ["with too many ..", { ".dockerignore": "-> ../../x/rules", "x/rules": "a" }],
  ])("%s is followed, as in BuildKit", async (_, tree) => {
    using folder = contextFolder({ ...tree, a: "", b: "" });
    const paths = await pathsOf(folder.path);
    expect(paths).toContain("b");
    expect(paths).not.toContain("a");
  });

  test("to a file outside of the context is followed", async () => {
    using folder = contextFolder({
      "shared-rules": "a",
      "app/.dockerignore": "-> ../shared-rules",
      "app/a": "",
      "app/b": "",
    });
    expect(await pathsOf(folder.at("app"))).toEqual([".dockerignore", "b"]);
  });

  test.each([
    ["that leads nowhere", "-> nowhere"],
    ["to itself", "-> .dockerignore"],
  ])("%s is rejected, because the files that it should exclude would be sent", async (_, link) => {
    using folder = contextFolder({ ".dockerignore": link, a: "" });
    await expect(openFolderContext(folder.path)).rejects.toMatchObject({
      code: "context-invalid",
      message: ".dockerignore is a link that leads nowhere",
    });
  });
});

test.skipIf(isRoot)("rejects an ignore file that cannot be read", async () => {
  using folder = contextFolder({ a: "" });
  writeFileSync(folder.at(".dockerignore"), "a");
  chmodSync(folder.at(".dockerignore"), 0);
  await expect(openFolderContext(folder.path)).rejects.toMatchObject({ code: "context-invalid" });
});

describe("sends the files that the builder reads even if the rules exclude them:", () => {
  test.each<[string, Tree, FolderContextOptions, string[], string[]]>([
    [
      "the Dockerfile and the ignore file",
      { ".dockerignore": "*", Dockerfile: "", a: "" },
      {},
      [".dockerignore", "Dockerfile"],
      [".dockerignore", "Dockerfile"],
    ],
    [
      "in an excluded folder, with nothing else of it",
      { ".dockerignore": "x", "x/y/Dockerfile": "", "x/y/a": "", "x/b": "" },
      { dockerfile: "x/y/Dockerfile" },
      [".dockerignore", "x/", "x/y/", "x/y/Dockerfile"],
      ["x/y/Dockerfile"],
    ],
    [
      "with the target of a link",
      { ".dockerignore": "*", Dockerfile: "-> x/real", "x/real": "", "x/a": "" },
      {},
      [".dockerignore", "Dockerfile", "x/", "x/real"],
      [".dockerignore", "Dockerfile", "x/real"],
    ],
    [
      "a Dockerfile that git ignores",
      { ".gitignore": "Dockerfile", Dockerfile: "", a: "" },
      {},
      [".gitignore", "Dockerfile", "a"],
      ["Dockerfile"],
    ],
    [
      "an ignore file that does not apply is like any other file",
      { ".dockerignore": "", "Dockerfile.dockerignore": "*", Dockerfile: "" },
      {},
      ["Dockerfile", "Dockerfile.dockerignore"],
      ["Dockerfile", "Dockerfile.dockerignore"],
    ],
    [
      "a file that the rules include is not only for the builder",
      { ".dockerignore": "a", Dockerfile: "", a: "" },
      {},
      [".dockerignore", "Dockerfile"],
      [],
    ],
  ])("%s", async (_, tree, options, paths, onlyForBuilder) => {
    using folder = contextFolder(tree);
    expect(await pathsOf(folder.path, options)).toEqual(paths);
    await using context = await openFolderContext(folder.path, options);
    expect(context.onlyForBuilder).toEqual(onlyForBuilder);
  });

  test("the Dockerfile may be spelled dockerfile", async () => {
    using folder = contextFolder({ "x/dockerfile": "", "x/dockerfile.dockerignore": "*", a: "" });
    await using context = await openFolderContext(folder.path, { dockerfile: "x/Dockerfile" });
    expect(context.dockerfile).toBe(process.platform === "linux" ? "x/dockerfile" : "x/Dockerfile");
    expect(context.entries.map(({ path }) => path)).toEqual(["x", "x/dockerfile", "x/dockerfile.dockerignore"]);
  });
});
