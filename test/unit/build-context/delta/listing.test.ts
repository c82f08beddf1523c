import { describe, expect, test } from "vitest";
import type { ContextEntry } from "../../../../src/build-context/build-context.ts";
import { ByteWriter } from "../../../../src/build-context/delta/byte-writer.ts";
import { decodeListing } from "../../../../src/build-context/delta/decode-listing.ts";
import { encodeListing } from "../../../../src/build-context/delta/encode-listing.ts";
import { KINDS, type ListedEntry, type ListedFile } from "../../../../src/build-context/delta/listing.ts";
import { CONTEXT_LIMITS } from "../../../../src/build-context/limits.ts";
import { MAX_PIECE } from "../../../../src/delta/chunker.ts";
import { pseudoRandom } from "../../pseudo-random.ts";

const DIGEST = "\xab".repeat(32);
const base = { mode: 0o644, mtime: 1_600_000_000_123_456 };

const file = (path: string, size = 5): ListedFile => ({
  kind: "file",
  path,
  ...base,
  size,
  pieces: size === 0 ? [] : [{ size, digest: DIGEST }],
});
const folder = (path: string): ListedEntry => ({ kind: "folder", path, ...base, mode: 0o1777 });
const symlink = (path: string, target: string): ListedEntry => ({ kind: "symlink", path, ...base, target });
const hardLink = (path: string, target: string): ListedEntry => ({ kind: "hard-link", path, ...base, target });
const decoded = (entries: readonly ListedEntry[], limits = CONTEXT_LIMITS): ListedEntry[] =>
  decodeListing(encodeListing(entries), limits);

test("decodes a listing to the encoded entries", () => {
  const entries = [
    file("a", 0),
    folder("b"),
    {
      ...file("b/large", MAX_PIECE + 7),
      pieces: [
        { size: MAX_PIECE, digest: DIGEST },
        { size: 7, digest: DIGEST },
      ],
    },
    folder("b/sub"),
    { ...file("b/sub/\xff\xfe", MAX_PIECE), mtime: -1_500_000 },
    file("b!"),
    hardLink("c", "b!"),
    symlink("d", "../../anywhere"),
  ];
  expect(decoded(entries)).toEqual(entries);
  expect(decoded([])).toEqual([]);
});

describe("a hostile listing:", () => {
  const cases: [string, ListedEntry[], string][] = [
    ["a path that leads out", [file("../x")], 'an entry "../x", which leads out of it'],
    ["an absolute path", [file("/etc/passwd")], "which is not a path"],
    ["an empty path", [file("")], "which is not a path"],
    ["a NUL in a path", [file("a\0b")], "which is not a path"],
    ["a dot in a path", [folder("a"), file("a/./b")], "which is not a path"],
    ["a long path", [file("x".repeat(5000))], "more than 4095 bytes"],
    ["a deep path", [file("x/".repeat(300) + "x")], "folders deep"],
    ["two of a path", [file("a"), file("a")], "not in its place"],
    ["a wrong order", [file("b"), file("a")], "not in its place"],
    ["an order by whole paths", [folder("a"), file("a!"), file("a/b")], "not in its place"],
    ["no folder above", [file("a/b")], "which lies in no folder"],
    ["a file above", [file("a"), file("a/b")], "which lies in no folder"],
    ["a link above", [symlink("a", "/etc"), file("a/passwd")], "which lies in no folder"],
    ["a folder that has ended", [folder("a"), folder("b"), file("b/a/c")], "which lies in no folder"],
    ["a hard link to nothing", [hardLink("a", "b"), file("b")], "a hard link to no file before it"],
    ["a hard link to a folder", [folder("a"), hardLink("b", "a")], "a hard link to no file before it"],
    ["a hard link to a hard link", [file("a"), hardLink("b", "a"), hardLink("c", "b")], "a hard link to no file"],
    ["a link without a target", [symlink("a", "")], "a link without a possible target"],
    ["a mode of a device", [{ ...file("a"), mode: 0o60644 }], "a mode has other bits"],
    [
      "pieces that are too small together",
      [{ ...file("a", MAX_PIECE + 9), pieces: [{ size: 9, digest: DIGEST }] }],
      "another size",
    ],
    ["a piece that is too large", [{ ...file("a", 9e6), pieces: [{ size: 9e6, digest: DIGEST }] }], "impossible size"],
    ["no pieces", [{ ...file("a", 9e6), pieces: [] }], "another size"],
  ];
  test.each(cases)("rejects %s", (_, entries, message) => {
    let failure: unknown;
    try {
      decoded(entries);
    } catch (error) {
      failure = error;
    }
    expect(failure).toMatchObject({ code: "context-invalid", message: expect.stringContaining(message) as string });
  });

  test("rejects more than the limits", () => {
    const limits = { ...CONTEXT_LIMITS, entries: 2, bytes: 10 };
    expect(decoded([file("a"), file("b")], limits)).toHaveLength(2);
    expect(() => decoded([file("a", 0), file("b", 0), file("c", 0)], limits)).toThrow("more than 2 entries");
    expect(() => decoded([file("a", 11)], limits)).toThrow("more than 10 B");
  });

  test("rejects a count of entries without entries before it allocates memory", () => {
    const bytes = new ByteWriter();
    for (const number of [1, 2 ** 40]) bytes.number(number);
    expect(() => decodeListing(bytes.take(), CONTEXT_LIMITS)).toThrow("fewer entries than it declares");
  });

  test("random damage yields valid entries, or a context-invalid failure", () => {
    const good = encodeListing([folder("a"), file("a/b"), file("a/c", 200), hardLink("d", "a/b"), symlink("e", "x")]);
    const random = pseudoRandom(3);
    for (let round = 0; round < 3000; round += 1) {
      const bytes = Buffer.from(good.subarray(0, random() < 0.2 ? Math.floor(random() * good.length) : good.length));
      for (let hits = Math.floor(random() * 4); hits > 0; hits -= 1) {
        bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
      }
      try {
        for (const entry of decodeListing(bytes, CONTEXT_LIMITS)) expectPossible(entry);
      } catch (error) {
        expect(error).toMatchObject({ code: "context-invalid" });
      }
    }
  });
});

function expectPossible({ path, kind }: ContextEntry): void {
  expect(KINDS).toContain(kind);
  expect(path.split("/").some((name) => ["", ".", ".."].includes(name))).toBe(false);
}
