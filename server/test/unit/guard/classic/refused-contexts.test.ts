import { Readable } from "node:stream";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { rewriteContext } from "../../../../src/guard/classic/context/rewrite-context.ts";
import { file, rewritten, tarOf, type Given } from "../../../fixtures/guard/context-tar.ts";

const ignoring = (patterns: string): Given[] => [file("Dockerfile", "FROM a"), file(".dockerignore", patterns)];

describe("refuses", () => {
  test.each<[string, Given[], string]>([
    ["a device", [{ name: "null", type: "character-device", devmajor: 1, devminor: 3 }], "context.entry"],
    ["a device with a target", [{ name: "x", type: "block-device", devmajor: 8, linkname: "y" }], "context.entry"],
    ["a FIFO", [{ name: "fifo", type: "fifo" }], "context.entry"],
    ["a name with a NUL", [[{ name: "x", pax: { path: "Dockerfile\0x" } }, "1"]], "context.entry"],
    [
      "a symbolic link to a name with a NUL",
      [{ name: "x", type: "symlink", linkname: "y", pax: { linkpath: "y\0z" } }],
      "context.entry",
    ],
    ["a path that leads out", [file("../x", "1")], "context.entry"],
    ["an absolute path", [file("/etc/passwd", "1")], "context.entry"],
    ["a hard link that leads out", [{ name: "x", type: "link", linkname: "../../etc/passwd" }], "context.entry"],
    ["a hard link to an absolute path", [{ name: "x", type: "link", linkname: "/etc/passwd" }], "context.entry"],
    [
      "an entry with the name of the guard's Dockerfile",
      [file("./.docker-over-ssh-guard.dockerfile", "1")],
      "context.entry",
    ],
    ["a folder of this name", [file(".docker-over-ssh-guard.dockerfile/x", "1")], "context.entry"],
    ["a path that is too long", [file(`${"a/".repeat(2100)}x`, "1")], "context.entry"],
    ["a symbolic link to nothing", [{ name: "x", type: "symlink", linkname: "" }], "context.entry"],
    [
      "a symbolic link that is too long",
      [{ name: "x", type: "symlink", linkname: "a/".repeat(2100) }],
      "context.entry",
    ],
    [
      "an invalid pattern of .dockerignore",
      [file("Dockerfile", "1"), file(".dockerignore", "[a")],
      "context.dockerignore",
    ],
    ["a name that is too long", [file("a".repeat(300), "1")], "context.entry"],
    ["a sparse file", [[{ name: "x", pax: { "GNU.sparse.major": "1" } }, "1"]], "context.entry"],
    ["a header that is too large", [[{ name: "x", pax: { comment: "x".repeat(64 * 1024) } }, "1"]], "context.entry"],
    ["a .dockerignore whose patterns could take hours", ignoring("a\n".repeat(40_000)), "context.dockerignore"],
    [
      "a Dockerfile that is a symbolic link",
      [{ name: "Dockerfile", type: "symlink", linkname: "x" }],
      "dockerfile.link",
    ],
    [
      "a Dockerfile that becomes a link",
      [file("Dockerfile", "1"), { name: "Dockerfile", type: "link", linkname: "x" }],
      "dockerfile.link",
    ],
    [
      "a Dockerfile that becomes a folder",
      [file("Dockerfile", "1"), { name: "Dockerfile", type: "directory" }],
      "dockerfile.missing",
    ],
    [
      "a .dockerignore that is a link",
      [file("Dockerfile", "1"), { name: ".dockerignore", type: "symlink", linkname: "x" }],
      "dockerfile.link",
    ],
    ["a context without a Dockerfile", [file("x", "1")], "dockerfile.missing"],
    ["an empty Dockerfile", [file("Dockerfile", "")], "dockerfile.missing"],
    ["a Dockerfile of megabytes", [file("Dockerfile", "#".repeat(2 * 1024 ** 2))], "dockerfile.size"],
  ])("%s", async (_, entries, rule) => {
    await expect(rewritten(entries, { limit: 10 * 1024 ** 2 })).rejects.toMatchObject({ name: "Refusal", rule });
  });

  test.each<[Given[], string | undefined, string]>([
    [[{ name: "ü", type: "fifo" }], undefined, '"ü" is neither a file, a folder nor a link'],
    [[[{ name: "ü", pax: { "GNU.sparse.major": "1" } }, "1"]], undefined, '"ü" is a sparse file: write the tar'],
    [[[{ name: "x", pax: { comment: "x".repeat(64 * 1024) } }, "1"]], undefined, "has more than 65536 bytes"],
    [[{ name: "ü", type: "symlink", linkname: "x" }], "ü", "ü is a link in the context: send the file itself, or name"],
    [[file("ü", "")], "ü", "the Dockerfile (ü) cannot be empty"],
    [[file("ü", "#".repeat(2 * 1024 ** 2))], "ü", "ü is larger than"],
    [[file("x", "")], "ü", "Cannot locate specified Dockerfile: ü"],
    [
      [file("Dockerfile", "1"), { name: ".dockerignore", type: "symlink", linkname: "x" }],
      undefined,
      ".dockerignore is a link in the context: send the file itself$",
    ],
  ])("with a readable message: %#", async (entries, dockerfile, message) => {
    const options = { limit: 10 * 1024 ** 2, ...(dockerfile !== undefined && { dockerfile }) };
    const words = new RegExp(message.replaceAll(/[().]/g, "\\$&"));
    await expect(rewritten(entries, options)).rejects.toHaveProperty("message", expect.stringMatching(words));
  });

  test.each([1, 512 - 6, 512, 1024])("a tar whose last file lacks %i bytes", async (missing) => {
    const whole = await tarOf([file("Dockerfile", "FROM a"), file("x", "c".repeat(1018))]);
    const cut = whole.subarray(0, 3 * 512 + 1018 - missing);
    await expect(rewritten(cut)).rejects.toMatchObject({ rule: "context.invalid" });
  });

  test("more entries than the limit of a context", async () => {
    const entries = [file("Dockerfile", "FROM a"), file("x", ""), file("y", "")];
    await expect(rewritten(entries, { maxEntries: 3 })).resolves.toBeDefined();
    await expect(rewritten(entries, { maxEntries: 2 })).rejects.toMatchObject({ rule: "context.entries" });
  });

  test("a header with a wrong checksum", async () => {
    const bytes = await tarOf([file("x", "1"), file("Dockerfile", "FROM a")]);
    bytes.write("y", 0);
    await expect(rewritten(bytes)).rejects.toMatchObject({ rule: "context.invalid" });
  });

  test("a context that is larger than allowed, even if it is compressed", async () => {
    const bytes = gzipSync(await tarOf([file("Dockerfile", "FROM a"), file("zeros", "0".repeat(1024 ** 2))]));
    expect(bytes.length).toBeLessThan(10_000);
    await expect(rewritten(bytes, { limit: 100_000 })).rejects.toMatchObject({ rule: "context.size" });
  });

  test("hard links to the Dockerfile, whose copies are larger than allowed", async () => {
    const links = Array.from({ length: 20 }, (_, at): Given => ({
      name: `${at}`,
      type: "link",
      linkname: "Dockerfile",
    }));
    const entries = [file("Dockerfile", "#".repeat(10_000)), ...links];
    await expect(rewritten(entries, { limit: 100_000 })).rejects.toMatchObject({ rule: "context.size" });
  });

  test.each([
    ["bzip2", Buffer.from("BZh91AY&SY"), "context.compression"],
    ["xz", Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 0]), "context.compression"],
    ["zstd", Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 0]), "context.compression"],
    ["half a gzip", gzipSync(Buffer.alloc(100_000, "x")).subarray(0, 60), "context.invalid"],
    ["data that is not a tar", Buffer.alloc(2048, "x"), "context.invalid"],
    ["a Dockerfile alone", Buffer.from("FROM scratch\n"), "context.invalid"],
    ["an empty context", Buffer.alloc(0), "dockerfile.missing"],
  ])("%s", async (_, bytes, rule) => {
    await expect(rewritten(bytes)).rejects.toMatchObject({ name: "Refusal", rule });
  });

  test.each(["../Dockerfile", "a/../../Dockerfile", "", "/", "a\0b"])("the path %j of a Dockerfile", (dockerfile) => {
    expect(() =>
      rewriteContext(Readable.from([]), {
        dockerfile,
        limit: 1,
        signal: new AbortController().signal,
        rewrite: async () => "",
      }),
    ).toThrow(expect.objectContaining({ rule: "dockerfile.path" }));
  });
});
