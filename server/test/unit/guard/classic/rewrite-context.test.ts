import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import {
  bytesOf,
  checksumOf,
  END,
  file,
  rewritten,
  ROOT,
  tarOf,
  type Given,
  type Head,
} from "../../../fixtures/guard/context-tar.ts";

describe("rewriteContext", () => {
  test("sends the files, and at the end a Dockerfile of the guard, which the engine removes again", async () => {
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

  test("decompresses gzip", async () => {
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
  ])("reads as the Dockerfile %s", async (_, entries, dockerfile, expected) => {
    const { read } = await rewritten(entries, dockerfile === undefined ? {} : { dockerfile });
    expect(read).toBe(expected);
  });

  test("accepts a tar that ends with its last file, without padding and end, which docker build -f - sends", async () => {
    const whole = await tarOf([file("Dockerfile", "FROM a"), file("x", "content")]);
    const { read, found } = await rewritten(whole.subarray(0, 3 * 512 + "content".length));
    expect(read).toBe("FROM a");
    expect(found).toEqual([ROOT, "x: content", "Dockerfile: FROM a", ...END]);
  });

  test("keeps the lines of .dockerignore, and omits a Dockerfile that it names", async () => {
    const { found } = await rewritten([file("Dockerfile", "FROM a"), file(".dockerignore", "*file\n!x")]);
    expect(found).toEqual([ROOT, ".dockerignore: *file\n!x\nRANDOM\n", "RANDOM: OURS\n"]);
  });

  test("omits a Dockerfile with a non-ASCII name if .dockerignore names it", async () => {
    const { found } = await rewritten([file("ü", "FROM a"), file(".dockerignore", "ü")], { dockerfile: "ü" });
    expect(found).toEqual([ROOT, ".dockerignore: ü\nRANDOM\n", "RANDOM: OURS\n"]);
  });

  test("replaces a hard link to the Dockerfile with a file", async () => {
    const { found } = await rewritten([
      file("Dockerfile", "1"),
      { name: "copy", type: "link", linkname: "./Dockerfile" },
    ]);
    expect(found).toEqual([ROOT, "copy: 1", "Dockerfile: 1", ...END]);
  });

  test("sends no pax header", async () => {
    const header: Head = { name: "x", pax: { "SCHILY.xattr.security.capability": "evil" } };
    const bytes = await bytesOf([[header, "1"], file("Dockerfile", "FROM a")]);
    expect(bytes.toString()).not.toContain("SCHILY");
  });

  test.each(["P*M\u0018\u0010\u0002", "BZh91AY&SY"])(
    "begins with the guard's own bytes, because an engine would treat the name %j as the beginning of a compressed tar",
    async (name) => {
      const bytes = await bytesOf([file("Dockerfile", "FROM a"), file(name, "x")]);
      expect(bytes.subarray(0, 8)).toEqual(Buffer.from("./\0\0\0\0\0\0"));
    },
  );

  test("omits data after the end of the tar, where engines stop", async () => {
    const two = [await tarOf([file("Dockerfile", "1")]), await tarOf([file("Dockerfile", "2"), file("x", "")])];
    const { read, found } = await rewritten(Buffer.concat(two));
    expect(read).toBe("1");
    expect(found).toEqual([ROOT, "Dockerfile: 1", ...END]);
  });

  test("ignores the path of a global pax header, like engines", async () => {
    const whole = await tarOf([[{ name: "x", pax: { path: "Dockerfile" } }, "1"], file("Dockerfile", "2")]);
    whole.write("g", 156);
    whole.write(checksumOf(whole.subarray(0, 512)), 148);
    const { read, found } = await rewritten(whole);
    expect(read).toBe("2");
    expect(found).toEqual([ROOT, "PaxHeader: 1", "Dockerfile: 2", ...END]);
  });

  test("keeps the bytes of names that are not UTF-8", async () => {
    const whole = await tarOf([file("ab", "1"), file("Dockerfile", "FROM a")]);
    whole[1] = 0xe9;
    whole.write(checksumOf(whole.subarray(0, 512)), 148);
    const bytes = await bytesOf(whole);
    expect(bytes.subarray(512, 515)).toEqual(Buffer.from([0x61, 0xe9, 0]));
  });
});
