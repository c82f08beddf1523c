import { execFileSync } from "node:child_process";
import { link, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { BuildContext } from "../../../../src/build-context/build-context.ts";
import { openTarContext, type OpenTarOptions } from "../../../../src/build-context/tar/open-tar-context.ts";
import { TYPE } from "../../../../src/build-context/tar/tar-header.ts";
import { pseudoRandom } from "../../pseudo-random.ts";
import { contentsOf } from "../memory-context.ts";
import { extension, tarOf, writeTarFile, type TarEntry } from "./tars.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "open-tar-"));
});
afterAll(async () => await rm(folder, { recursive: true }));

async function opened(tar: readonly TarEntry[] | Buffer, options?: OpenTarOptions): Promise<BuildContext> {
  return await openTarContext(await writeTarFile(join(folder, "context.tar"), tar), options);
}

/** Opens a tar, returns a short form of its entries, and closes it. */
async function entriesOf(tar: readonly TarEntry[] | Buffer, options?: OpenTarOptions): Promise<string[]> {
  await using context = await opened(tar, options);
  return context.entries.map((entry) => {
    const more = "target" in entry ? ` -> ${entry.target}` : entry.kind === "file" ? ` ${entry.size}` : "";
    return `${entry.kind} ${entry.path}${more}`;
  });
}

const folderEntry = (name: string): TarEntry => ({ name, type: TYPE.folder });
const symlinkEntry = (name: string, target: string): TarEntry => ({ name, type: TYPE.symlink, target });
const hardLinkEntry = (name: string, target: string): TarEntry => ({ name, type: TYPE.hardLink, target });

test("returns the entries in context order, adds folders without an entry, and reads contents by offset", async () => {
  const tar = [
    { name: "./", type: TYPE.folder },
    { name: "./z/deep/file", content: "z", mode: 0o755, mtime: 5 },
    { name: "/a", content: "a".repeat(2000) },
    folderEntry("z/"),
    symlinkEntry("link", "../anywhere"),
    hardLinkEntry("also", "z/deep/file"),
  ];
  await using context = await opened(tar);
  expect(context.entries).toEqual([
    { kind: "file", path: "a", mode: 0o644, mtime: 1e15, size: 2000 },
    { kind: "file", path: "also", mode: 0o755, mtime: 5e6, size: 1 },
    { kind: "symlink", path: "link", mode: 0o777, mtime: 1e15, target: "../anywhere" },
    { kind: "folder", path: "z", mode: 0o644, mtime: 1e15 },
    { kind: "folder", path: "z/deep", mode: 0o755, mtime: 5e6 },
    { kind: "hard-link", path: "z/deep/file", mode: 0o755, mtime: 5e6, target: "also" },
  ]);
  expect([...(await contentsOf(context)).values()]).toEqual(["a".repeat(2000), "z"]);
});

test("strips leading folders from paths and from targets of hard links, and drops entries above them", async () => {
  const tar = [
    { name: "pax_global_header", type: TYPE.globalPax, content: "19 comment=abcdefg\n" },
    folderEntry("app-1/"),
    { name: "README", content: "above" },
    { name: "app-1/a", content: "a" },
    hardLinkEntry("app-1/b", "app-1/a"),
  ];
  expect(await entriesOf(tar, { strip: 1 })).toEqual(["file a 1", "hard-link b -> a"]);
});

test("preserves long names and names that are not UTF-8 byte by byte: pax, GNU, and the ustar prefix", async () => {
  const long = `${"d".repeat(150)}/${"é".repeat(60)}`;
  const raw = Buffer.from("\xff\xfe", "latin1");
  const tar = Buffer.concat([
    tarOf([{ name: "x", pax: { path: Buffer.from(long).toString("latin1"), mtime: "1.25" } }], { end: false }),
    ...extension(TYPE.longName, Buffer.concat([raw, Buffer.from("long\0")])),
    tarOf([{ name: "y", content: "y" }]),
  ]);
  await using context = await opened(tar);
  const [, first, second] = context.entries;
  expect(first).toMatchObject({ path: Buffer.from(long).toString("latin1"), mtime: 1_250_000 });
  expect(second).toMatchObject({ path: "\xff\xfelong", size: 1 });
});

test("reads numbers in GNU's base 256, and ignores invalid times", async () => {
  const tar = tarOf([
    { name: "negative", content: "x" },
    { name: "large", content: "y" },
    { name: "odd", content: "z" },
  ]);
  const put = (entry: number, at: number, bytes: Buffer): void => {
    const start = entry * 1024;
    bytes.copy(tar, start + at);
    tar.fill(" ", start + 148, start + 156);
    const sum = tar.subarray(start, start + 512).reduce((total, byte) => total + byte, 0);
    tar.write(`${sum.toString(8).padStart(6, "0")}\0 `, start + 148);
  };
  put(0, 136, Buffer.from("ffffffffffffffffffffffff", "hex")); // mtime
  put(0, 124, Buffer.from("800000000000000000000001", "hex")); // size
  put(1, 136, Buffer.from("80ffffffffffffffffffffff", "hex"));
  put(2, 136, Buffer.from("no number!\0"));
  await using context = await opened(tar);
  expect(context.entries.map(({ path, mtime }) => [path, mtime])).toEqual([
    ["large", 2 ** 52 - 1],
    ["negative", -1_000_000],
    ["odd", 0],
  ]);
  expect([...(await contentsOf(context)).values()]).toEqual(["y", "x", "z"]);
});

test.each(["gnu", "pax", "ustar"])("reads the output of tar: %s", async (format) => {
  const tree = await mkdtemp(join(folder, "tree-"));
  await mkdir(join(tree, "sub/empty"), { recursive: true });
  await writeFile(join(tree, "sub", "n".repeat(99)), "long", { mode: 0o755 });
  if (format !== "ustar") await writeFile(join(tree, "sub", "é".repeat(120)), "longer");
  await link(join(tree, "sub", "n".repeat(99)), join(tree, "linked"));
  await symlink("sub/empty", join(tree, "to"));
  const tar = execFileSync("tar", ["-c", `--format=${format}`, "-C", tree, "."], { maxBuffer: 1e8 });
  await using context = await opened(tar);
  expect(context.entries.map(({ kind }) => kind).toSorted()).toEqual(
    ["file", "folder", "folder", "hard-link", "symlink", ...(format === "ustar" ? [] : ["file"])].toSorted(),
  );
  expect([...(await contentsOf(context)).values()].toSorted()).toEqual(
    format === "ustar" ? ["long"] : ["long", "longer"],
  );
});

test("of two files with the same path, uses the last one, or rejects both", async () => {
  const tar = [
    { name: "Dockerfile", content: "one" },
    hardLinkEntry("kept", "Dockerfile"),
    { name: "./Dockerfile", content: "second" },
  ];
  await using context = await opened(tar);
  expect(Object.fromEntries(await contentsOf(context))).toEqual({ Dockerfile: "second", kept: "one" });
  await expect(opened(tar, { refuseDuplicates: true })).rejects.toThrow('"Dockerfile", which it has twice');
});

describe("links that lead out", () => {
  test.each<[string, TarEntry[]]>([
    ["an absolute one", [symlinkEntry("out", "/etc/passwd")]],
    ["above the root", [folderEntry("a/"), symlinkEntry("a/out", "../../etc")]],
    [
      "through another link, which stays inside",
      [
        folderEntry("a/b/"),
        symlinkEntry("a/b/up", "../../top"),
        folderEntry("top/"),
        symlinkEntry("out", "a/b/up/../../x"),
      ],
    ],
  ])("are rejected on request: %s", async (_, tar) => {
    await expect(opened(tar, { refuseLinksOut: true })).rejects.toThrow(/out", a link that leads out/);
    await expect(entriesOf(tar)).resolves.not.toHaveLength(0);
  });

  test("(links that stay inside, lead nowhere or form a cycle are accepted)", async () => {
    const tar = [
      folderEntry("a/b/"),
      symlinkEntry("a/b/in", "../../a/./b"),
      symlinkEntry("nowhere", "missing/../also"),
      symlinkEntry("one", "other"),
      symlinkEntry("other", "one"),
    ];
    await expect(entriesOf(tar, { refuseLinksOut: true })).resolves.toHaveLength(6);
  });
});

test.each<[string, readonly TarEntry[] | Buffer, string | RegExp]>([
  ["nothing", Buffer.alloc(0), "is not a tar archive"],
  ["zeros that are no block", Buffer.alloc(100), "is not a tar archive"],
  ["another file", Buffer.alloc(2048, "text"), "is not a tar archive"],
  ["a path that leads out", [{ name: "a/../../b" }], '"a/../../b", which leads out'],
  ["a path that leads out by pax", [{ name: "x", pax: { path: "../b" } }], '"../b", which leads out'],
  ["a NUL in a path", [{ name: "x", pax: { path: "a\0b" } }], "which is not a path"],
  ["a long path", [{ name: "x", pax: { path: `${"d".repeat(200)}/`.repeat(30) } }], "more than 4095 bytes"],
  ["a deep path", [{ name: "x", pax: { path: "d/".repeat(300) } }], "more than 256 folders deep"],
  ["a device", [{ name: "null", type: "3" }], '"null", which is a device'],
  ["a block device", [{ name: "sda", type: "4" }], "which is a device"],
  ["a fifo", [{ name: "pipe", type: "6" }], '"pipe", which is a fifo'],
  ["a sparse file of GNU", [{ name: "holes", type: "S" }], '"holes", which is a sparse file'],
  ["a sparse file in pax", [{ name: "holes", pax: { "GNU.sparse.major": "1" } }], "which is a sparse file"],
  ["an unknown type", [{ name: "what", type: "V" }], '"what", of the unknown type "V"'],
  ["a hard link that leads out", [hardLinkEntry("h", "../../etc/passwd")], "which leads out"],
  ["a hard link to nothing", [hardLinkEntry("h", "later"), { name: "later" }], "a hard link to no file before it"],
  ["a hard link to a folder", [folderEntry("d/"), hardLinkEntry("h", "d")], "a hard link to no file before it"],
  ["a symbolic link without a target", [symlinkEntry("l", "")], "a link without a possible target"],
  ["an entry below a file", [{ name: "f" }, { name: "f/x" }], '"f/x", which lies below a file'],
  ["an entry below a link", [symlinkEntry("l", "/etc"), { name: "l/passwd" }], "which lies below a link"],
  ["a file that is a folder", [folderEntry("d/"), { name: "d" }], '"d", which is a folder and no folder'],
  ["a folder that is a file", [{ name: "d" }, folderEntry("d/")], '"d", which is a folder and no folder'],
  ["a folder that has become one", [{ name: "d/x" }, { name: "d" }], '"d", which is a folder and no folder'],
  [
    "a content that is cut off",
    tarOf([{ name: "big", content: "x".repeat(5000) }]).subarray(0, 2048),
    '"big", in which',
  ],
  ["no end", tarOf([{ name: "a", content: "x" }], { end: false }), "is cut off"],
  ["a header that is cut off", tarOf([{ name: "a" }], { end: false }).subarray(0, 300), "is not a tar archive"],
  [
    "a damaged header",
    Buffer.concat([tarOf([{ name: "a" }], { end: false }), Buffer.alloc(1024, 7)]),
    "damaged at byte 512",
  ],
  [
    "a damaged pax header",
    [{ name: "x", type: TYPE.pax, content: "99 path=x\n" }, { name: "a" }],
    "damaged pax header",
  ],
  ["an impossible size", [{ name: "x", pax: { size: "-1" } }], "damaged at byte"],
  ["a pax header without end", [{ name: "x", type: TYPE.pax, size: 8 ** 10, content: "x" }], "cut off"],
])("rejects %s", async (_, tar, message) => {
  const failure: unknown = await opened(tar).catch((error: unknown) => error);
  expect(failure).toMatchObject({ code: "context-invalid", message: expect.stringMatching(message) as string });
});

test("limits entries, bytes and depth", async () => {
  const limits = { entries: 3, bytes: 10, depth: 2 };
  const names = (...all: string[]): TarEntry[] => all.map((name) => ({ name, content: "12345" }));
  await expect(entriesOf(names("a", "b"), { limits })).resolves.toHaveLength(2);
  await expect(opened(names("a", "b", "c"), { limits })).rejects.toThrow("more than 10 B");
  await expect(
    opened(
      ["a", "b", "c", "d"].map((name) => ({ name })),
      { limits },
    ),
  ).rejects.toThrow("more than 3 entries");
  await expect(opened([{ name: "a/b/c/d" }], { limits: { ...limits, entries: 100 } })).rejects.toThrow(
    "2 folders deep",
  );
  await expect(opened(names("a", "a", "a"), { limits })).rejects.toThrow("more than 10 B");
});

test("random damage yields a context or a context-invalid failure", async () => {
  const good = tarOf([
    { name: "a/b", content: "x".repeat(700) },
    { name: "y", pax: { path: "long/".repeat(40), mtime: "1.5" } },
    symlinkEntry("s", "a"),
    hardLinkEntry("h", "a/b"),
  ]);
  const random = pseudoRandom(16);
  for (let round = 0; round < 300; round += 1) {
    const bytes = Buffer.from(good.subarray(0, random() < 0.3 ? Math.floor(random() * good.length) : good.length));
    for (let hits = Math.floor(random() * 6); hits > 0; hits -= 1) {
      bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
    }
    try {
      await using context = await opened(bytes);
      await contentsOf(context);
    } catch (error) {
      expect(error).toMatchObject({ code: "context-invalid" });
    }
  }
});

test("rejects many nested links, before resolving them all takes long", async () => {
  const many = "./".repeat(2000);
  const tar = Array.from({ length: 1000 }, (_, at) => ({
    ...symlinkEntry(`l${at}`, ""),
    pax: { linkpath: `${many}l${at + 1}` },
  }));
  await expect(opened(tar, { refuseLinksOut: true })).rejects.toThrow(/a link that leads through too many others/);
});

test("limits the total size of paths and targets, because they are in memory", async () => {
  const limits = { bytes: 1e6, entries: 10, depth: 100 };
  const long = (at: number): TarEntry => ({ name: "", pax: { path: `${at}${"x".repeat(800)}` } });
  const link: TarEntry = { ...symlinkEntry("l", ""), pax: { linkpath: "x".repeat(900) } };
  await expect(entriesOf([long(1), long(2), long(3)], { limits })).resolves.toHaveLength(3);
  await expect(opened([long(1), long(2), long(3), long(4)], { limits })).rejects.toThrow(/paths of more than 2\.5 kB/);
  await expect(entriesOf([long(1), long(2), link], { limits })).resolves.toHaveLength(3);
  await expect(opened([long(1), long(2), long(3), link], { limits })).rejects.toThrow(/paths of more than 2\.5 kB/);
});

test("a name does not keep its pax header in memory", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const comment = "x".repeat(1_000_000);
  const linkpath = "somewhere/in/the/tree";
  const tar = tarOf(
    Array.from({ length: 64 }, (_, at) => ({
      ...symlinkEntry("", ""),
      pax: { comment, linkpath, path: `a-longer-name-${at}` },
    })),
  );
  collect();
  const before = process.memoryUsage().heapUsed;
  await using context = await opened(tar);
  collect();
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(16e6);
  expect(context.entries).toHaveLength(64);
});
