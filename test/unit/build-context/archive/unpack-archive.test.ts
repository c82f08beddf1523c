import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { extract } from "tar-stream";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ARCHIVE_LIMITS } from "../../../../src/build-context/archive/limits.ts";
import { unpackArchive } from "../../../../src/build-context/archive/unpack-archive.ts";
import { upload } from "../../../../src/build-context/archive/upload.ts";
import { newRunId } from "../../../../src/run/run-id.ts";
import { openSpool, type Spool } from "../../../../src/run/spool.ts";
import { makeTar } from "../../image/tar/make-tar.ts";
import { chopped, pseudoRandomBytes } from "../../pseudo-random.ts";
import { makeZip, type ZipEntry } from "./make-zip.ts";

let folder: string;
let spool: Spool;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "dos-archive-"));
  spool = await openSpool({ XDG_CACHE_HOME: folder }, newRunId());
});
afterEach(async () => {
  await spool[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

async function* inChunks(bytes: Buffer): AsyncGenerator<Buffer> {
  yield* chopped(bytes, 7, 4000);
}

const { signal } = new AbortController();

async function unpack(archive: Buffer, limits = ARCHIVE_LIMITS): Promise<Buffer> {
  return readFileSync(await unpackArchive(inChunks(archive), spool, limits, { signal }));
}

/** Returns the code and the message of the failure. */
async function failure(archive: Buffer, limits = ARCHIVE_LIMITS): Promise<{ code?: string; message: string }> {
  try {
    await unpack(archive, limits);
  } catch (error) {
    const { code, message } = error as { code: string; message: string };
    return { code, message };
  }
  return { message: "no failure" };
}

/** Lists a tar: `MODE path > link = content`. */
async function listing(tar: Buffer): Promise<string[]> {
  const parser = extract();
  parser.end(tar);
  const lines: string[] = [];
  for await (const entry of parser) {
    const { name, mode, type, linkname } = entry.header;
    let content = "";
    for await (const chunk of entry as AsyncIterable<Buffer>) content += chunk.toString();
    lines.push(
      `${type} ${mode.toString(8)} ${name}${linkname ? ` > ${linkname}` : ""}${content ? ` = ${content}` : ""}`,
    );
  }
  return lines;
}

const tree = await makeTar([
  { name: "Dockerfile", content: "FROM scratch\n" },
  { name: "data", content: pseudoRandomBytes(100_000, 1) },
]);
const byProgram = (program: string, ...argv: string[]): Buffer => execFileSync(program, argv, { input: tree });
const has = (program: string): boolean => {
  try {
    execFileSync(program, ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
};

describe("detects the format by the first bytes:", () => {
  test("tar", async () => expect(await unpack(tree)).toEqual(tree));
  test("tar with a signed checksum, as some old programs write it", async () => {
    const signed = Buffer.from(tree);
    const sum = Number.parseInt(tree.toString("latin1", 148, 154), 8);
    signed[511] = 0xff; // -1 in a signed sum
    signed.write((sum - 1).toString(8).padStart(6, "0"), 148, "latin1");
    expect(await unpack(signed)).toEqual(signed);
  });
  test("tar.gz", async () => expect(await unpack(gzipSync(tree))).toEqual(tree));
  test("tar.gz of several members", async () =>
    expect(await unpack(Buffer.concat([gzipSync(tree.subarray(0, 700)), gzipSync(tree.subarray(700))]))).toEqual(tree));
  for (const [program, what] of [
    ["xz", "tar.xz"],
    ["zstd", "tar.zst"],
    ["bzip2", "tar.bz2"],
  ] as const) {
    const why = has(program) ? undefined : `: this machine has no ${program}`;
    test.skipIf(why)(`${what}${why ?? ""}`, async () => expect(await unpack(byProgram(program, "-c"))).toEqual(tree));
    test.skipIf(why)(`${what}, cut off${why ?? ""}`, async () => {
      const { code, message } = await failure(byProgram(program, "-c").subarray(0, -100));
      expect(code).toBe("context-invalid");
      expect(message).toMatch(/^the archive is cut off or damaged: /);
    });
  }

  test("names a missing program", async () => {
    const path = process.env["PATH"];
    process.env["PATH"] = folder;
    try {
      expect(await failure(Buffer.from("fd377a585a000000", "hex"))).toEqual({
        code: "context-invalid",
        message: "the archive is compressed with xz, and the machine that unpacks it has no program xz",
      });
    } finally {
      process.env["PATH"] = path;
    }
  });
});

describe("converts a zip to a tar", () => {
  test("with modes, links, folders and names in UTF-8", async () => {
    const zip = makeZip([
      { name: "src/", mode: 0o040_755 },
      { name: "src/grün.txt", content: "grün", mode: 0o100_640 },
      { name: "run.sh", content: "#!/bin/sh\n", mode: 0o100_755, isStored: true },
      { name: "link", content: "src/grün.txt", mode: 0o120_777 },
      { name: "by-dos.txt", content: "x" },
      { name: "by-dos/" },
    ]);
    expect(await listing(await unpack(zip))).toEqual([
      "directory 755 src/",
      "file 640 src/grün.txt = grün",
      "file 755 run.sh = #!/bin/sh\n",
      "symlink 777 link > src/grün.txt",
      "file 644 by-dos.txt = x",
      "directory 755 by-dos/",
    ]);
  });

  test("an empty zip becomes an empty tar", async () => expect(await unpack(makeZip([]))).toEqual(await makeTar([])));

  const hostile: [string, ZipEntry[], RegExp][] = [
    ["a path that leads out", [{ name: "../etc/passwd", content: "x" }], /cut off or damaged: .*\.\.\/etc\/passwd/],
    ["an absolute path", [{ name: "/etc/passwd", content: "x" }], /cut off or damaged: absolute path/],
    ["a device", [{ name: "null", mode: 0o020_666 }], /^the archive's entry "null" is neither a file/],
    ["an encrypted file", [{ name: "a", content: "x", isEncrypted: true }], /^the archive's file "a" is encrypted/],
    [
      "a file that is longer than it says",
      [{ name: "a", content: "x".repeat(5000), claimedSize: 10 }],
      /cut off or damaged/,
    ],
    ["a file that is shorter than it says", [{ name: "a", content: "x", claimedSize: 5000 }], /cut off or damaged/],
    ["a wrong checksum", [{ name: "a", content: "x", isStored: true, claimedCrc: 1 }], /the checksum of "a" is wrong/],
    [
      "a link of a megabyte",
      [{ name: "a", content: "x".repeat(1e6), mode: 0o120_777 }],
      /^the archive's link "a" has a target of/,
    ],
  ];
  test.each(hostile)("rejects %s", async (_, entries, message) => {
    const found = await failure(makeZip(entries));
    expect(found).toEqual({ code: "context-invalid", message: expect.stringMatching(message) as string });
  });

  test("rejects a zip that is truncated at any place", async () => {
    const zip = makeZip([{ name: "Dockerfile", content: "FROM scratch\n" }]);
    for (let length = 4; length < zip.length; length += 1) {
      await using _ = await renewed();
      expect((await failure(zip.subarray(0, length))).code, `${length} bytes`).toBe("context-invalid");
    }
  });
});

/** Creates a new spool for the next attempt. */
async function renewed(): Promise<AsyncDisposable> {
  spool = await openSpool({ XDG_CACHE_HOME: folder }, newRunId());
  return spool;
}

describe("rejects", () => {
  test.each([
    ["nothing", Buffer.alloc(0), /^there is no archive on stdin: it is empty$/],
    ["a text", Buffer.from("FROM scratch\n".repeat(100)), /^the input on stdin is not an archive$/],
    ["a short text", Buffer.from("x"), /^the input on stdin is not an archive$/],
    [
      "a compressed text",
      gzipSync("FROM scratch\n".repeat(100)),
      /^the input on stdin is compressed with gzip, and contains no tar$/,
    ],
    [
      "a damaged gzip",
      Buffer.concat([gzipSync(tree).subarray(0, 50_000), Buffer.alloc(1000, 7)]),
      /^the archive is cut off or damaged: gzip/,
    ],
    ["a gzip that is cut off", gzipSync(tree).subarray(0, -9), /^the archive is cut off or damaged: gzip/],
  ])("%s", async (_, archive, message) => {
    expect(await failure(archive)).toEqual({
      code: "context-invalid",
      message: expect.stringMatching(message) as string,
    });
  });

  test("a text with a hint for each place that reads an archive", async () => {
    await expect(unpack(Buffer.from("x"))).rejects.toMatchObject({
      hint: "For instance the output of git archive HEAD, or of tar -cz . in the folder that has the Dockerfile.",
    });
  });

  test("more bytes than the limit, early", async () => {
    const limits = { ...ARCHIVE_LIMITS, bytes: 50_000 };
    const tooLarge = { code: "context-invalid", message: "the archive unpacks to more than 50 kB" };
    expect(await failure(tree, limits)).toEqual(tooLarge);
    await using _ = await renewed();
    expect(await failure(gzipSync(tree), limits)).toEqual(tooLarge);
    await using __ = await renewed();
    expect(await failure(makeZip([{ name: "a", content: Buffer.alloc(60_000) }]), limits)).toEqual(tooLarge);
  });

  test("more bytes than the limit, and names only an option that exists", async () => {
    const limits = { ...ARCHIVE_LIMITS, bytes: 50_000 };
    const hint = "Exclude files that the build does not need";
    await expect(unpack(tree, limits)).rejects.toMatchObject({ hint: `${hint}.` });
    await using _ = await renewed();
    const raised = { ...limits, howToRaise: "raise it" };
    await expect(unpack(tree, raised)).rejects.toMatchObject({ hint: `${hint}, or raise it.` });
    await using __ = await renewed();
    const zip = makeZip([{ name: "a", content: Buffer.alloc(60_000) }]);
    await expect(unpack(zip, raised)).rejects.toMatchObject({ hint: `${hint}, or raise it.` });
  });

  test("a gzip bomb as soon as its ratio is known", async () => {
    const zeros = await makeTar([{ name: "zeros", content: Buffer.alloc(200 * 1024 ** 2) }]);
    expect(await failure(gzipSync(zeros))).toEqual({
      code: "context-invalid",
      message: "the archive unpacks to more than 200 times its size",
    });
    expect(readFileSync(spool.pathFor("context.tar")).length).toBeLessThan(120 * 1024 ** 2);
  });

  test("more entries in a zip than the limit", async () => {
    const zip = makeZip(Array.from({ length: 12 }, (_, at) => ({ name: `f${at}` })));
    expect(await failure(zip, { ...ARCHIVE_LIMITS, entries: 10 })).toEqual({
      code: "context-invalid",
      message: "the archive has more than 10 entries",
    });
  });
});

test("the unpacked archive stays in the spool, which only this user can read", async () => {
  await unpack(gzipSync(tree));
  expect(readdirSync(spool.folder)).toEqual(["context.tar"]);
});

test("an aborted upload rejects with the reason", async () => {
  const stop = new AbortController();
  async function* endless(): AsyncGenerator<Buffer> {
    yield tree.subarray(0, 1024);
    stop.abort(new Error("enough"));
    yield await new Promise<Buffer>(() => {});
  }
  const arriving = upload(endless(), 60_000, stop.signal);
  await expect(unpackArchive(arriving, spool, ARCHIVE_LIMITS, { signal: stop.signal })).rejects.toThrow("enough");
});

test("an upload that stalls fails", async () => {
  async function* stalling(): AsyncGenerator<Buffer> {
    yield tree.subarray(0, 1024);
    yield await new Promise<Buffer>(() => {});
  }
  await expect(unpackArchive(upload(stalling(), 10, signal), spool, ARCHIVE_LIMITS, { signal })).rejects.toMatchObject({
    code: "context-invalid",
    message: "nothing of the archive has arrived for 0.0 s",
    hint: "Write the archive to a file first, and read stdin from that file.",
  });
});
