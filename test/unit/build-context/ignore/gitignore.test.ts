import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { openFolderContext } from "../../../../src/build-context/folder/open-folder-context.ts";
import { shownPath } from "../../../../src/build-context/paths.ts";
import { pseudoRandom } from "../../pseudo-random.ts";
import { contextFolder, pathsOf, type Tree } from "../context-folder.ts";

/** Returns a git index with these paths. Only the path of each entry matters. */
function gitIndex(...paths: string[]): string {
  const entries = paths.map((path) => "\0".repeat(62) + path + "\0".repeat(8 - ((62 + path.length) % 8)));
  return `DIRC\0\0\0\x02\0\0\0${String.fromCharCode(paths.length)}${entries.join("")}`;
}

describe("without a .dockerignore, a context contains the files that git would track:", () => {
  test.each<[string, Tree, string[]]>([
    [
      "a name counts at any depth",
      { ".gitignore": "*.log\nout/", "a.log": "", "x/b.log": "", "out/a": "", "x/out/b": "", out2: "" },
      [".gitignore", "out2", "x/"],
    ],
    [
      "a slash ties a pattern to its folder",
      { ".gitignore": "/a\nb/c\n", a: "", "x/a": "", "b/c": "", "x/b/c": "" },
      [".gitignore", "b/", "x/", "x/a", "x/b/", "x/b/c"],
    ],
    ["a slash at the end is for folders alone", { ".gitignore": "a/", a: "", "x/a/b": "" }, [".gitignore", "a", "x/"]],
    [
      "a folder deeper down has the last word",
      { ".gitignore": "*.x", "a/.gitignore": "!b.x", "a.x": "", "a/a.x": "", "a/b.x": "", "b.x": "" },
      [".gitignore", "a/", "a/.gitignore", "a/b.x"],
    ],
    [
      "its patterns are for what is in it",
      { "a/.gitignore": "/b\nc", b: "", c: "", "a/b": "", "a/x/c": "" },
      ["a/", "a/.gitignore", "a/x/", "b", "c"],
    ],
    [
      "nothing in an ignored folder comes back",
      { ".gitignore": "a/\n!a/b", "a/b": "", "a/.gitignore": "!b" },
      [".gitignore"],
    ],
    [
      "what is in a folder may come back",
      { ".gitignore": "a/*\n!a/b", "a/b": "", "a/c": "" },
      [".gitignore", "a/", "a/b"],
    ],
    [
      "the folder's name is no pattern",
      { "[a]*/.gitignore": "x", "[a]*/x": "", "[a]*/y": "", "a/x": "" },
      ["[a]*/", "[a]*/.gitignore", "[a]*/y", "a/", "a/x"],
    ],
    [
      "escapes, comments and spaces",
      { ".gitignore": "#a\n\\#b\n\\!c\nd  \ne\\ \n", "#a": "", "#b": "", "!c": "", d: "", "e ": "", e: "" },
      ["#a", ".gitignore", "e"],
    ],
    ["a link of this name is not read", { ".gitignore": "-> rules", rules: "a", a: "" }, [".gitignore", "a", "rules"]],
    [
      "upper and lower case differ on Linux",
      { ".gitignore": "build", Build: "", build: "" },
      process.platform === "linux" ? [".gitignore", "Build"] : [".gitignore"],
    ],
  ])("%s", async (_, tree, paths) => {
    using folder = contextFolder(tree);
    expect(await pathsOf(folder.path)).toEqual(paths);
  });

  test(".git/info/exclude applies, and .git is excluded", async () => {
    using folder = contextFolder({
      ".git/info/exclude": "# local\nsecret",
      ".git/HEAD": "",
      secret: "",
      a: "",
      "sub/.git": "gitdir: nowhere",
    });
    expect(await pathsOf(folder.path)).toEqual(["a", "sub/"]);
  });

  test("files that git tracks are included, also in an ignored folder", async () => {
    using folder = contextFolder({
      ".git/index": gitIndex("lib/kept", "x.log"),
      ".gitignore": "lib/\n*.log\n",
      "lib/kept": "",
      "lib/other": "",
      "lib/deep/a": "",
      "x.log": "",
      "y.log": "",
    });
    expect(await pathsOf(folder.path)).toEqual([".gitignore", "lib/", "lib/kept", "x.log"]);
  });

  test("the rules in parent folders of the repository also apply to a context in it", async () => {
    using folder = contextFolder({
      ".git/index": gitIndex("app/kept.log"),
      ".git/info/exclude": "local",
      ".gitignore": "*.log\n/app/here\n/here2",
      "app/.gitignore": "tmp",
      "app/a.log": "",
      "app/kept.log": "",
      "app/here": "",
      "app/here2": "",
      "app/local": "",
      "app/tmp/a": "",
    });
    expect(await pathsOf(folder.at("app"))).toEqual([".gitignore", "here2", "kept.log"]);
    await using context = await openFolderContext(folder.at("app"));
    expect(context.applied).toEqual({ rules: "gitignore", file: "../.git/info/exclude" });
  });

  test("the rules of a repository that ignores the context do not apply", async () => {
    using folder = contextFolder({
      ".git/HEAD": "",
      ".gitignore": "*",
      "app/a": "",
      "app/.gitignore": "b",
      "app/b": "",
    });
    expect(await pathsOf(folder.at("app"))).toEqual([".gitignore", "a"]);
  });

  test("a nested repository has its own rules", async () => {
    using folder = contextFolder({
      ".git/HEAD": "",
      ".gitignore": "*.log",
      "sub/.git": "gitdir: ../.git/modules/sub",
      ".git/modules/sub/info/exclude": "local",
      ".git/modules/sub/index": gitIndex("kept"),
      "sub/.gitignore": "kept\nother",
      "sub/a.log": "",
      "sub/kept": "",
      "sub/local": "",
      "sub/other": "",
    });
    expect(await pathsOf(folder.path)).toEqual([".gitignore", "sub/", "sub/.gitignore", "sub/a.log", "sub/kept"]);
  });

  test("a second work tree uses the same info/exclude", async () => {
    using folder = contextFolder({
      "main/.git/info/exclude": "local",
      "main/.git/worktrees/two/commondir": "../..\n",
      "two/.git": "gitdir: ../main/.git/worktrees/two\n",
      "two/local": "",
      "two/a": "",
    });
    expect(await pathsOf(folder.at("two"))).toEqual(["a"]);
  });
});

describe("selects the same files as git", () => {
  const git = (folder: string, ...args: string[]): string =>
    spawnSync("git", ["-c", "core.excludesFile=/dev/null", "-C", folder, ...args], { encoding: "utf8" }).stdout;
  const hasGit = spawnSync("git", ["--version"]).status === 0;
  if (!hasGit) console.log("skipped: the comparison with git, which is not installed");

  const PATTERNS =
    "a b c * ** ? / / / [ab] [^a] [!a] . ! \\ ] - é ( { # *.x [[:alpha:]] \\* **/ /** \\  */ B ^ $".split(" ");
  const NAMES = [
    "a",
    "b",
    "c",
    "ab",
    "a.x",
    "B",
    "é",
    "a b",
    " a",
    "#a",
    "!b",
    "[a]",
    "a*",
    "a ",
    "(x",
    "{a",
    "b-c",
    "^a",
    "d$",
  ];

  test.skipIf(!hasGit)("in random trees with random rules", async () => {
    const random = pseudoRandom(16);
    const one = (values: readonly string[]): string => values[Math.floor(random() * values.length)] as string;
    const times = (count: number, make: () => string): string[] =>
      Array.from({ length: 1 + Math.floor(random() * count) }, make);
    for (let round = 0; round < 20; round += 1) {
      using folder = contextFolder({});
      git(folder.path, "init", "-q", "--template=");
      const folders = [""];
      for (const name of times(6, () => `${one(folders)}${one(NAMES)}/`)) {
        mkdirSync(folder.at(name), { recursive: true });
        folders.push(name);
      }
      const files = times(25, () => one(folders) + one(NAMES)).filter((name) => !folders.includes(`${name}/`));
      for (const name of files) writeFileSync(folder.at(name), "");
      const rules = (): string =>
        times(4, () => (random() < 0.3 ? "!" : "") + times(5, () => one(PATTERNS)).join("")).join("\n");
      const ignoreFiles = [".gitignore", ...times(3, () => `${one(folders)}.gitignore`)];
      const texts = ignoreFiles.map((name) => [name, rules()] as const);
      for (const [name, text] of texts) writeFileSync(folder.at(name), text);
      if (files.length > 0) git(folder.path, "add", "-f", "--", one(files));
      const expected = git(folder.path, "ls-files", "-co", "--exclude-standard", "-z").split("\0").filter(Boolean);
      const { entries } = await openFolderContext(folder.path, { dockerfile: "none" });
      const actual = entries.filter(({ kind }) => kind === "file").map(({ path }) => shownPath(path));
      expect([texts, actual.toSorted()]).toEqual([texts, [...new Set(expected)].toSorted()]);
    }
  });
});

test("the cache of one listing does not outlive it", async () => {
  using folder = contextFolder({ ".gitignore": "a", a: "", b: "" });
  expect(await pathsOf(folder.path)).toEqual([".gitignore", "b"]);
  writeFileSync(folder.at(".gitignore"), "b");
  expect(await pathsOf(folder.path)).toEqual([".gitignore", "a"]);
  rmSync(folder.at(".gitignore"));
  expect(await pathsOf(folder.path)).toEqual(["a", "b"]);
});
