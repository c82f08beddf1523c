import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { BuildContext } from "../../../../src/build-context/build-context.ts";
import { ARCHIVE_LIMITS } from "../../../../src/build-context/archive/limits.ts";
import {
  openArchiveContext,
  type ArchiveContextOptions,
} from "../../../../src/build-context/archive/open-archive-context.ts";
import { Failure } from "../../../../src/output/errors.ts";
import { newRunId } from "../../../../src/run/run-id.ts";
import { makeTar, type TestEntry } from "../../image/tar/make-tar.ts";
import { chopped, pseudoRandom } from "../../pseudo-random.ts";
import { makeZip } from "./make-zip.ts";

let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "dos-hostile-"))));
afterEach(() => rmSync(folder, { recursive: true }));

const { signal } = new AbortController();

async function open(
  archive: Buffer | AsyncIterable<Buffer>,
  options: Partial<ArchiveContextOptions> = {},
): Promise<BuildContext> {
  const source = Buffer.isBuffer(archive) ? inChunks(archive) : archive;
  return await openArchiveContext(source, {
    env: { XDG_CACHE_HOME: folder },
    runId: newRunId(),
    signal,
    refuseLinksOut: true,
    ...options,
  });
}

async function* inChunks(bytes: Buffer): AsyncGenerator<Buffer> {
  yield* chopped(bytes, 3, 3000);
}

/** Returns the paths of an archive, or the failure. Expects in either case that nothing is left in the cache folder. */
async function outcome(
  archive: Buffer | AsyncIterable<Buffer>,
  options?: Partial<ArchiveContextOptions>,
): Promise<string> {
  let found: string;
  try {
    await using context = await open(archive, options);
    for (const entry of context.entries) {
      if (entry.kind !== "file") continue;
      let size = 0;
      for await (const chunk of context.read(entry)) size += chunk.length;
      expect(size).toBe(entry.size);
    }
    found = context.entries.map(({ path }) => path).join(" ");
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    found = `${error.code}: ${error.message}`;
  }
  expect(readdirSync(join(folder, "docker-over-ssh"))).toEqual([]);
  return found;
}

const ENTRIES: TestEntry[] = [
  { name: "Dockerfile", content: "FROM scratch\nCOPY src /src\n" },
  { name: "src", type: "directory" },
  { name: "src/main.c", content: "int main;".repeat(100) },
  { name: "src/again", type: "link", linkname: "src/main.c" },
  { name: "latest", type: "symlink", linkname: "src/main.c" },
];
const tree = await makeTar(ENTRIES);
const PATHS = "Dockerfile latest src src/again src/main.c";
/** Blocks of zeros follow the last entry. The first of them ends the tar. */
const end = tree.length - 1024;

test("opens the complete archive", async () => {
  expect(await outcome(tree)).toBe(PATHS);
  expect(await outcome(gzipSync(tree))).toBe(PATHS);
});

test("rejects a tar that is truncated at any place", async () => {
  for (let length = 1; length < end + 512; length += length % 512 === 0 ? 1 : 37) {
    expect(await outcome(tree.subarray(0, length)), `${length} bytes`).toMatch(/^context-invalid: /);
  }
  for (let length = 512; length < end + 512; length += 512) {
    expect(await outcome(tree.subarray(0, length)), `${length} bytes`).toMatch(/^context-invalid: /);
  }
  expect(await outcome(tree.subarray(0, end + 512))).toBe(PATHS);
});

test("rejects a tar.gz that is truncated at any place", async () => {
  const packed = gzipSync(tree);
  for (let length = 1; length < packed.length; length += 1) {
    expect(await outcome(packed.subarray(0, length)), `${length} bytes`).toMatch(/^context-invalid: /);
  }
});

test("a changed byte does no harm: the archive is rejected, or has different contents", async () => {
  const random = pseudoRandom(11);
  for (let round = 0; round < 400; round += 1) {
    const changed = Buffer.from(tree);
    const at = Math.floor(random() * end);
    changed.writeUInt8(Math.floor(random() * 256), at);
    expect(await outcome(changed), `byte ${at}`).toMatch(/^context-invalid: |^[\w/. ]+$/u);
  }
});

test.each<[string, TestEntry[]]>([
  ["a path that leads out", [{ name: "../Dockerfile", content: "x" }]],
  ["a path that leads out in its middle", [{ name: "a/../../Dockerfile", content: "x" }]],
  ["an absolute path", [{ name: "/etc/passwd", content: "x" }]],
  ["an absolute link", [{ name: "a", type: "symlink", linkname: "/etc/passwd" }]],
  ["a link that leads out", [{ name: "a/b", type: "symlink", linkname: "../../etc/passwd" }]],
  [
    "a link that leads out over another",
    [
      { name: "a/b", type: "symlink", linkname: "." },
      { name: "a/c", type: "symlink", linkname: "b/b/../../x" },
    ],
  ],
  ["a hard link that leads out", [{ name: "a", type: "link", linkname: "../../etc/passwd" }]],
  ["a hard link to nothing", [{ name: "a", type: "link", linkname: "b" }]],
  ["a pipe", [{ name: "a", type: "fifo" }]],
  [
    "a Dockerfile that is there twice",
    [
      { name: "Dockerfile", content: "FROM a\n" },
      { name: "./Dockerfile", content: "FROM b\n" },
    ],
  ],
  [
    "a file below a link",
    [
      { name: "a", type: "symlink", linkname: "b" },
      { name: "a/c", content: "x" },
    ],
  ],
  [
    "a file below a file",
    [
      { name: "a", content: "x" },
      { name: "a/c", content: "x" },
    ],
  ],
  ["a path 200 folders deep", [{ name: `${"a/".repeat(200)}b`, content: "x" }]],
  ["a path of 5,000 bytes", [{ name: "a/".repeat(30) + "b".repeat(5000), content: "x" }]],
])("rejects %s", async (_, entries) => {
  expect(await outcome(await makeTar(entries))).toMatch(/^context-invalid: /);
});

test("rejects a zip with two Dockerfiles", async () => {
  const zip = makeZip([
    { name: "Dockerfile", content: "FROM a\n" },
    { name: "Dockerfile", content: "FROM b\n" },
  ]);
  expect(await outcome(zip)).toMatch(/^context-invalid: .*Dockerfile/);
});

test("stops reading a tar of ten million entries at the limit, in constant memory", async () => {
  const limits = { ...ARCHIVE_LIMITS, entries: 20_000 };
  const header = (await makeTar([{ name: "0000000", content: "" }])).subarray(0, 512);
  /** Names of seven digits, so that the checksum of each header is that of the first one plus the sum of the digits. */
  async function* many(): AsyncGenerator<Buffer> {
    for (let block = 0; block < 10_000; block += 1) {
      const entries = Buffer.alloc(512 * 1000);
      for (let at = 0; at < 1000; at += 1) {
        const entry = entries.subarray(at * 512, (at + 1) * 512);
        header.copy(entry);
        entry.write(String(block * 1000 + at).padStart(7, "0"), "latin1");
        entry.write("        ", 148, "latin1");
        entry.write(
          `${entry
            .reduce((sum, byte) => sum + byte, 0)
            .toString(8)
            .padStart(6, "0")}\0 `,
          148,
          "latin1",
        );
      }
      yield entries;
    }
  }
  expect(await outcome(many(), { limits: { ...limits, bytes: 30e6 } })).toBe(
    "context-invalid: the archive unpacks to more than 30 MB",
  );
  expect(await outcome(firstOf(many(), 30), { limits })).toMatch(/^context-invalid: .*20000 entries/);
});

/** Passes on the first chunks, and the end of a tar. */
async function* firstOf(chunks: AsyncIterable<Buffer>, count: number): AsyncGenerator<Buffer> {
  let left = count;
  for await (const chunk of chunks) {
    yield chunk;
    left -= 1;
    if (left === 0) break;
  }
  yield Buffer.alloc(1024);
}

test("an empty archive has no entries", async () => {
  expect(await outcome(await makeTar([]))).toMatch(/^context-invalid: .*empty|^$/);
});

test("--strip removes leading folders", async () => {
  const stripped = await makeTar(
    ENTRIES.map((entry) => ({
      ...entry,
      name: `app-1/${entry.name}`,
      ...(entry.type === "link" && { linkname: `app-1/${entry.linkname}` }),
    })),
  );
  expect(await outcome(stripped, { strip: 1 })).toBe(PATHS);
});
