import { execFileSync } from "node:child_process";
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { buffer } from "node:stream/consumers";
import { once } from "node:events";
import { describe, expect, test } from "vitest";
import type { ContextEntry } from "../../../../src/build-context/build-context.ts";
import { openFolderContext } from "../../../../src/build-context/folder/open-folder-context.ts";
import { comparePaths } from "../../../../src/build-context/paths.ts";
import { pseudoRandom } from "../../pseudo-random.ts";
import { contextFolder, pathsOf } from "../context-folder.ts";

const isRoot = process.getuid?.() === 0;
if (isRoot) console.log("skipped: what this user may not read, because root may read all");

async function entriesOf(folder: string): Promise<readonly ContextEntry[]> {
  await using context = await openFolderContext(folder);
  return context.entries;
}

describe("the entries of a folder", () => {
  test("are in BuildKit's order: a folder, its entries, and then names that begin with the name of the folder", async () => {
    using folder = contextFolder({ "a/z": "", "a.txt": "", "a-b/c": "", b: "", é: "", Z: "", "a/b/c": "" });
    expect(await pathsOf(folder.path)).toEqual(["Z", "a/", "a/b/", "a/b/c", "a/z", "a-b/", "a-b/c", "a.txt", "b", "é"]);
  });

  test("have their modes, and times to the microsecond", async () => {
    using folder = contextFolder({ run: "", "x/": "" });
    chmodSync(folder.at("run"), 0o4751);
    chmodSync(folder.at("x"), 0o1777);
    utimesSync(folder.at("run"), 1_700_000_000.123456, 1_700_000_000.123456);
    expect(await entriesOf(folder.path)).toEqual([
      expect.objectContaining({ kind: "file", path: "run", size: 0, mode: 0o4751, mtime: 1_700_000_000_123_456 }),
      expect.objectContaining({ kind: "folder", path: "x", mode: 0o1777 }),
    ]);
  });

  test("contain links verbatim, and links are not followed", async () => {
    using folder = contextFolder({ up: "-> ..", self: "-> self", root: "-> /", file: "-> a/b", "a/b": "" });
    const links = (await entriesOf(folder.path)).filter(({ kind }) => kind === "symlink");
    expect(links.map((entry) => [entry.path, "target" in entry && entry.target])).toEqual([
      ["file", "a/b"],
      ["root", "/"],
      ["self", "self"],
      ["up", ".."],
    ]);
  });

  test("include empty folders", async () => {
    using folder = contextFolder({ "a/b/": "" });
    expect(await pathsOf(folder.path)).toEqual(["a/", "a/b/"]);
  });

  test("of an empty folder: none", async () => {
    using folder = contextFolder({});
    expect(await pathsOf(folder.path)).toEqual([]);
  });

  test("may have names that are not UTF-8", async () => {
    using folder = contextFolder({});
    const native = (name: string): Buffer =>
      Buffer.concat([Buffer.from(`${folder.path}/`), Buffer.from(name, "latin1")]);
    mkdirSync(native("\xffd"));
    writeFileSync(native("\xffd/\xfe"), "content");
    symlinkSync(Buffer.from("\xfd", "latin1"), native("\xffd/l"));
    await using context = await openFolderContext(folder.path);
    expect(context.entries).toMatchObject([
      { kind: "folder", path: "\xffd" },
      { kind: "symlink", path: "\xffd/l", target: "\xfd" },
      { kind: "file", path: "\xffd/\xfe", size: 7 },
    ]);
    const [, , file] = context.entries;
    expect((await buffer(context.read(file as never))).toString()).toBe("content");
  });

  test("contain a file once; its other names are links to the first name", async () => {
    using folder = contextFolder({ "b/first": "x", "out/side": "", ".dockerignore": "out" });
    linkSync(folder.at("b/first"), folder.at("c"));
    linkSync(folder.at("b/first"), folder.at("out/z"));
    linkSync(folder.at("out/side"), folder.at("d"));
    expect(await entriesOf(folder.path)).toMatchObject([
      { path: ".dockerignore" },
      { path: "b" },
      { path: "b/first", kind: "file", size: 1 },
      { path: "c", kind: "hard-link", target: "b/first" },
      { path: "d", kind: "file" },
    ]);
  });

  test("exclude sockets and fifos, which are reported", async () => {
    using folder = contextFolder({ a: "", "x/": "" });
    const server = createServer().listen(folder.at("x/socket"));
    await once(server, "listening");
    execFileSync("mkfifo", [folder.at("fifo")]);
    await using context = await openFolderContext(folder.path);
    server.close();
    expect(context.entries.map(({ path }) => path)).toEqual(["a", "x"]);
    expect(context.skipped).toEqual([
      { path: "fifo", kind: "fifo" },
      { path: "x/socket", kind: "socket" },
    ]);
  });

  test("exclude a device, which is reported", async () => {
    await using context = await openFolderContext("/dev", { gitignore: false }).catch(() => undefined);
    if (!context) return console.log("skipped: /dev may not be read here");
    expect(context.skipped).toContainEqual({ path: "null", kind: "device" });
  });

  test("have a fingerprint that changes with the content of the file, and with nothing else in the folder", async () => {
    using folder = contextFolder({ a: "one", b: "" });
    const before = await entriesOf(folder.path);
    writeFileSync(folder.at("c"), "");
    expect((await entriesOf(folder.path)).slice(0, 2)).toEqual(before);
    const { atime, mtime } = lstatSync(folder.at("a"));
    writeFileSync(folder.at("a"), "two");
    utimesSync(folder.at("a"), atime, mtime);
    const [after] = await entriesOf(folder.path);
    expect(after).toMatchObject({ size: 3 });
    expect(after).not.toEqual(before[0]);
  });

  test("of random trees are in order, each once, each after its folder and its target", async () => {
    const random = pseudoRandom(40);
    const names = ["a", "a.b", "a-b", "A", "é", " ", "~", "0", "ab", "."].map((name) => (name === "." ? "..." : name));
    const one = (values: readonly string[]): string => values[Math.floor(random() * values.length)] as string;
    for (let round = 0; round < 20; round += 1) {
      using folder = contextFolder({});
      const folders = [""];
      const files: string[] = [];
      for (let count = 0; count < 60; count += 1) {
        const path = one(folders) + one(names);
        try {
          const kind = random();
          if (kind < 0.3) {
            mkdirSync(folder.at(path));
            folders.push(`${path}/`);
          } else if (kind < 0.5 && files.length > 0) linkSync(folder.at(one(files)), folder.at(path));
          else {
            writeFileSync(folder.at(path), "", { flag: "wx" });
            files.push(path);
          }
        } catch {} // the name already exists
      }
      const entries = await entriesOf(folder.path);
      const seen = new Map<string, ContextEntry>();
      for (const entry of entries) {
        expect([...seen.keys()].every((path) => comparePaths(path, entry.path) < 0)).toBe(true);
        const above = entry.path.slice(0, Math.max(0, entry.path.lastIndexOf("/")));
        if (above !== "") expect(seen.get(above)?.kind).toBe("folder");
        if (entry.kind === "hard-link") expect(seen.get(entry.target)?.kind).toBe("file");
        seen.set(entry.path, entry);
      }
    }
  });
});

describe("an excluded folder", () => {
  test("is part of the context if an entry in it is; empty folders in it are not", async () => {
    using folder = contextFolder({
      ".dockerignore": "a\n!a/b/c/keep",
      "a/b/c/keep": "",
      "a/b/d/x": "",
      "a/e/": "",
      "a/b/f": "",
    });
    expect(await pathsOf(folder.path)).toEqual([".dockerignore", "a/", "a/b/", "a/b/c/", "a/b/c/keep"]);
  });

  test("is not part of the context if an exception matches nothing in it", async () => {
    using folder = contextFolder({ ".dockerignore": "a\n!**/keep", "a/b/x": "", "a/c/keep": "", "a/d/x": "", z: "" });
    expect(await pathsOf(folder.path)).toEqual([".dockerignore", "a/", "a/c/", "a/c/keep", "z"]);
  });

  test.skipIf(isRoot)("need not be readable", async () => {
    using folder = contextFolder({ ".dockerignore": "a\nb\n!b/x", "a/": "", "b/": "" });
    for (const name of ["a", "b"]) chmodSync(folder.at(name), 0);
    expect(await pathsOf(folder.path)).toEqual([".dockerignore"]);
    for (const name of ["a", "b"]) chmodSync(folder.at(name), 0o700);
  });
});

describe("a folder that cannot be a context", () => {
  test.each([
    ["does not exist", "nowhere", /^the folder .*nowhere does not exist$/],
    ["is a file", "file", /file is not a folder$/],
    ["is in a file", "file/x", /cannot be read: ENOTDIR/],
    ["is a link to itself", "loop", /cannot be read: ELOOP/],
  ])("%s", async (_, name, message) => {
    using folder = contextFolder({ file: "", loop: "-> loop" });
    await expect(openFolderContext(folder.at(name))).rejects.toMatchObject({
      code: "context-invalid",
      message: expect.stringMatching(message) as string,
    });
  });

  test("(a link to a folder can be a context)", async () => {
    using folder = contextFolder({ "real/a": "", link: "-> real" });
    expect(await pathsOf(folder.at("link"))).toEqual(["a"]);
  });

  test.skipIf(isRoot).each([
    ["x", /^the folder .* cannot be read: EACCES/],
    ["x/y", /^y cannot be read: EACCES/],
    ["x/y/z", /^y\/z cannot be read: EACCES/],
  ])("because %s cannot be read", async (name, message) => {
    using folder = contextFolder({ "x/y/z": "" });
    chmodSync(folder.at(name), 0);
    await expect(openFolderContext(folder.at("x"))).rejects.toMatchObject({
      code: "context-invalid",
      message: expect.stringMatching(message) as string,
    });
    chmodSync(folder.at(name), 0o700);
  });

  test("an abort ends the walk", async () => {
    using folder = contextFolder({ a: "" });
    await expect(openFolderContext(folder.path, { signal: AbortSignal.abort(new Error("stop")) })).rejects.toThrow(
      "stop",
    );
  });
});

describe("reads a file that is unchanged since the listing", () => {
  const open = async (folder: string, path: string) => {
    const context = await openFolderContext(folder);
    const file = context.entries.find((entry) => entry.path === path);
    if (file?.kind !== "file") throw new Error(`no file ${path}`);
    return async (signal?: AbortSignal) => await buffer(context.read(file, signal));
  };

  test.each([0, 1, 1000, 256 * 1024, 256 * 1024 + 1, 3_000_000])("of %i bytes", async (size) => {
    using folder = contextFolder({});
    const content = Buffer.alloc(size, "some text ");
    writeFileSync(folder.at("a"), content);
    const read = await open(folder.path, "a");
    expect((await read()).equals(content)).toBe(true);
    expect((await read()).equals(content)).toBe(true);
  });

  for (const size of [10, 1_000_000]) {
    test.each<[string, (at: (name: string) => string) => void, string]>([
      ["longer", (at) => writeFileSync(at("x/a"), "more", { flag: "a" }), "was changed"],
      ["shorter", (at) => truncateSync(at("x/a"), 5), "was changed"],
      ["different, with the same size", (at) => writeFileSync(at("x/a"), "y".repeat(size)), "was changed"],
      ["gone", (at) => rmSync(at("x/a")), "was removed"],
      [
        "a link to another file",
        (at) => {
          rmSync(at("x/a"));
          symlinkSync("b", at("x/a"));
        },
        "was replaced",
      ],
      [
        "a fifo",
        (at) => {
          rmSync(at("x/a"));
          execFileSync("mkfifo", [at("x/a")]);
        },
        "was changed",
      ],
      [
        "behind a link that has replaced its folder",
        (at) => {
          rmSync(at("x"), { recursive: true });
          symlinkSync("outside", at("x"));
        },
        "was changed",
      ],
    ])(`rejects a file of ${size} bytes that is now %s`, async (_, change, how) => {
      const content = "x".repeat(size);
      using folder = contextFolder({ "x/a": content, "x/b": content, "outside/a": content });
      utimesSync(folder.at("x/a"), 1, 1);
      const read = await open(folder.path, "x/a");
      change(folder.at);
      await expect(read()).rejects.toMatchObject({
        code: "context-invalid",
        message: `x/a ${how} while the build context was read`,
        hint: expect.stringContaining(".dockerignore") as string,
      });
    });
  }

  test("rejects a file that changes while it is read", async () => {
    using folder = contextFolder({ a: "x".repeat(1_000_000) });
    await using context = await openFolderContext(folder.path);
    const read = context.read(context.entries[0] as never)[Symbol.asyncIterator]();
    await read.next();
    truncateSync(folder.at("a"), 600_000);
    const rest = async (): Promise<void> => {
      while (!(await read.next()).done);
    };
    await expect(rest()).rejects.toMatchObject({ code: "context-invalid" });
  });

  test("stops on an abort", async () => {
    using folder = contextFolder({ a: "" });
    const read = await open(folder.path, "a");
    await expect(read(AbortSignal.abort(new Error("stop")))).rejects.toThrow("stop");
  });
});
