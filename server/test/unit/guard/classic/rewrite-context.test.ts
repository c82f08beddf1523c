import { Readable } from "node:stream";
import { gzipSync } from "node:zlib";
import { extract, pack, type Header } from "tar-stream";
import { describe, expect, test } from "vitest";
import { rewriteContext } from "../../../../src/guard/classic/context/rewrite-context.ts";

type Head = Partial<Header> & { name: string };
type Given = Head | [header: Head, content: string];

async function tarOf(entries: readonly Given[]): Promise<Buffer> {
  const tar = pack();
  for (const given of entries) {
    if (Array.isArray(given)) tar.entry(given[0], given[1]);
    else tar.entry(given);
  }
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const file = (name: string, content: string): Given => [{ name }, content];

/** The checksum of a header, as it is written */
function checksumOf(header: Buffer): string {
  const sum = header.reduce((all, byte, at) => all + (at >= 148 && at < 156 ? 32 : byte), 0);
  return `${sum.toString(8).padStart(6, "0")}\0 `;
}

/** The tar that the engine gets */
async function bytesOf(given: readonly Given[] | Buffer): Promise<Buffer> {
  const { tar } = rewriteContext(Readable.from([Buffer.isBuffer(given) ? given : await tarOf(given)]), {
    dockerfile: "Dockerfile",
    limit: 1024 ** 2,
    signal: new AbortController().signal,
    rewrite: async () => "OURS",
  });
  const chunks: Buffer[] = [];
  for await (const chunk of tar as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** What the engine gets: its entries in their order, and the Dockerfile that was read */
async function rewritten(
  entries: readonly Given[] | Buffer,
  more: { dockerfile?: string; limit?: number; maxEntries?: number } = {},
) {
  const { dockerfile = "Dockerfile", limit = 1024 ** 2, ...rest } = more;
  const bytes = Buffer.isBuffer(entries) ? entries : await tarOf(entries);
  let read = "";
  const { dockerfile: name, tar } = rewriteContext(Readable.from([bytes]), {
    ...rest,
    dockerfile,
    limit,
    signal: new AbortController().signal,
    async rewrite(given) {
      read = given.toString();
      return "OURS\n";
    },
  });
  const parser = extract();
  tar.on("error", (error) => parser.destroy(error));
  tar.pipe(parser);
  const found: string[] = [];
  for await (const entry of parser) {
    let content = "";
    for await (const chunk of entry as AsyncIterable<Buffer>) content += chunk.toString();
    const { type, linkname } = entry.header;
    const shown = `${type === "file" ? "" : `${type ?? ""} `}${entry.header.name}${linkname ? ` -> ${linkname}` : ""}`;
    found.push(`${shown}: ${content}`.replaceAll(name, "RANDOM"));
  }
  return { read, found };
}

const ROOT = "directory ./: ";
const END = [".dockerignore: .dockerignore\nRANDOM\n", "RANDOM: OURS\n"];

describe("what the engine gets", () => {
  test("the files, and at the end a Dockerfile of the guard's, which it removes again", async () => {
    const { read, found } = await rewritten([
      file("Dockerfile", "FROM a"),
      { name: "dir/", type: "directory" },
      file("./dir/file", "x"),
      { name: "link", type: "symlink", linkname: "/etc" },
      { name: "hard", type: "link", linkname: "dir/file" },
    ]);
    expect(read).toBe("FROM a");
    expect(found).toEqual([
      ROOT,
      "directory dir/: ",
      "dir/file: x",
      "symlink link -> /etc: ",
      "link hard -> dir/file: ",
      "Dockerfile: FROM a",
      ...END,
    ]);
  });

  test("in gzip", async () => {
    const { read } = await rewritten(gzipSync(await tarOf([file("Dockerfile", "FROM a")])));
    expect(read).toBe("FROM a");
  });

  test.each<[string, Given[], string | undefined, string]>([
    ["the last of two", [file("Dockerfile", "1"), file("Dockerfile", "2")], undefined, "2"],
    ["the last of two spellings", [file("Dockerfile", "1"), file(".//Dockerfile", "2")], undefined, "2"],
    ["a path that is spelt in another way", [file("a/D", "1")], "./b/../a//D", "1"],
    ["an absolute path", [file("a/D", "1")], "/a/D", "1"],
    ["one in small letters", [file("dockerfile", "1")], undefined, "1"],
    ["capital letters first", [file("Dockerfile", "1"), file("dockerfile", "2")], undefined, "1"],
    [
      "a file after a link of that name",
      [{ name: "Dockerfile", type: "symlink", linkname: "x" }, file("Dockerfile", "1")],
      undefined,
      "1",
    ],
    ["one with a path of pax", [[{ name: "x", pax: { path: "Dockerfile" } }, "1"]], undefined, "1"],
    ["a long name", [file(`${"a/".repeat(80)}D`, "1")], `${"a/".repeat(80)}D`, "1"],
  ])("the Dockerfile is %s", async (_, entries, dockerfile, expected) => {
    const { read } = await rewritten(entries, dockerfile === undefined ? {} : { dockerfile });
    expect(read).toBe(expected);
  });

  test("a tar that ends with its last file, without padding and end, as docker build -f - sends it", async () => {
    const whole = await tarOf([file("Dockerfile", "FROM a"), file("x", "content")]);
    const { read, found } = await rewritten(whole.subarray(0, 3 * 512 + "content".length));
    expect(read).toBe("FROM a");
    expect(found).toEqual([ROOT, "x: content", "Dockerfile: FROM a", ...END]);
  });

  test("a .dockerignore keeps its lines, and a Dockerfile that it names is not passed on", async () => {
    const { found } = await rewritten([file("Dockerfile", "FROM a"), file(".dockerignore", "*file\n!x")]);
    expect(found).toEqual([ROOT, ".dockerignore: *file\n!x\nRANDOM\n", "RANDOM: OURS\n"]);
  });

  test("a Dockerfile whose name is beyond ASCII is not passed on where .dockerignore names it", async () => {
    const { found } = await rewritten([file("ü", "FROM a"), file(".dockerignore", "ü")], { dockerfile: "ü" });
    expect(found).toEqual([ROOT, ".dockerignore: ü\nRANDOM\n", "RANDOM: OURS\n"]);
  });

  test("a hard link to the Dockerfile becomes a file", async () => {
    const { found } = await rewritten([
      file("Dockerfile", "1"),
      { name: "copy", type: "link", linkname: "./Dockerfile" },
    ]);
    expect(found).toEqual([ROOT, "copy: 1", "Dockerfile: 1", ...END]);
  });

  test("no header of pax", async () => {
    const header: Head = { name: "x", pax: { "SCHILY.xattr.security.capability": "evil" } };
    const bytes = await bytesOf([[header, "1"], file("Dockerfile", "FROM a")]);
    expect(bytes.toString()).not.toContain("SCHILY");
  });

  test.each(["P*M\u0018\u0010\u0002", "BZh91AY&SY"])(
    "first bytes that are the guard's: an engine would take the name %j for the beginning of a compressed tar",
    async (name) => {
      const bytes = await bytesOf([file("Dockerfile", "FROM a"), file(name, "x")]);
      expect(bytes.subarray(0, 8)).toEqual(Buffer.from("./\0\0\0\0\0\0"));
    },
  );

  test("nothing that stands behind the end of the tar, where engines stop", async () => {
    const two = [await tarOf([file("Dockerfile", "1")]), await tarOf([file("Dockerfile", "2"), file("x", "")])];
    const { read, found } = await rewritten(Buffer.concat(two));
    expect(read).toBe("1");
    expect(found).toEqual([ROOT, "Dockerfile: 1", ...END]);
  });

  test("a path of a global header of pax counts for no entry, as for engines", async () => {
    const whole = await tarOf([[{ name: "x", pax: { path: "Dockerfile" } }, "1"], file("Dockerfile", "2")]);
    whole.write("g", 156);
    whole.write(checksumOf(whole.subarray(0, 512)), 148);
    const { read, found } = await rewritten(whole);
    expect(read).toBe("2");
    expect(found).toEqual([ROOT, "PaxHeader: 1", "Dockerfile: 2", ...END]);
  });

  test("names that are no UTF-8, byte by byte", async () => {
    const whole = await tarOf([file("ab", "1"), file("Dockerfile", "FROM a")]);
    whole[1] = 0xe9;
    whole.write(checksumOf(whole.subarray(0, 512)), 148);
    const bytes = await bytesOf(whole);
    expect(bytes.subarray(512, 515)).toEqual(Buffer.from([0x61, 0xe9, 0]));
  });
});

const ignoring = (patterns: string): Given[] => [file("Dockerfile", "FROM a"), file(".dockerignore", patterns)];

describe("what is refused", () => {
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
    ["the name of the guard's Dockerfile", [file("./.docker-over-ssh-guard.dockerfile", "1")], "context.entry"],
    ["a folder of this name", [file(".docker-over-ssh-guard.dockerfile/x", "1")], "context.entry"],
    ["a path that is too long", [file(`${"a/".repeat(2100)}x`, "1")], "context.entry"],
    ["a symbolic link to nothing", [{ name: "x", type: "symlink", linkname: "" }], "context.entry"],
    [
      "a symbolic link that is too long",
      [{ name: "x", type: "symlink", linkname: "a/".repeat(2100) }],
      "context.entry",
    ],
    [
      "a pattern of .dockerignore that is none",
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
    ["no Dockerfile", [file("x", "1")], "dockerfile.missing"],
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
  ])("in words for people: %#", async (entries, dockerfile, message) => {
    const options = { limit: 10 * 1024 ** 2, ...(dockerfile !== undefined && { dockerfile }) };
    const words = new RegExp(message.replaceAll(/[().]/g, "\\$&"));
    await expect(rewritten(entries, options)).rejects.toHaveProperty("message", expect.stringMatching(words));
  });

  test.each([1, 512 - 6, 512, 1024])("a tar whose last file lacks %i bytes", async (missing) => {
    const whole = await tarOf([file("Dockerfile", "FROM a"), file("x", "c".repeat(1018))]);
    const cut = whole.subarray(0, 3 * 512 + 1018 - missing);
    await expect(rewritten(cut)).rejects.toMatchObject({ rule: "context.invalid" });
  });

  test("more entries than a context may have", async () => {
    const entries = [file("Dockerfile", "FROM a"), file("x", ""), file("y", "")];
    await expect(rewritten(entries, { maxEntries: 3 })).resolves.toBeDefined();
    await expect(rewritten(entries, { maxEntries: 2 })).rejects.toMatchObject({ rule: "context.entries" });
  });

  test("a header whose sum is not its own", async () => {
    const bytes = await tarOf([file("x", "1"), file("Dockerfile", "FROM a")]);
    bytes.write("y", 0);
    await expect(rewritten(bytes)).rejects.toMatchObject({ rule: "context.invalid" });
  });

  test("a context that is larger than allowed, also when it is compressed", async () => {
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
    ["what is no tar", Buffer.alloc(2048, "x"), "context.invalid"],
    ["a Dockerfile alone", Buffer.from("FROM scratch\n"), "context.invalid"],
    ["nothing", Buffer.alloc(0), "dockerfile.missing"],
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
