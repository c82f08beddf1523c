import { expect, test } from "vitest";
import { isIgnored } from "../../../../src/guard/classic/context/ignore-file.ts";

const { signal } = new AbortController();

test.each<[string, string, boolean]>([
  ["Dockerfile", "Dockerfile", true],
  ["*\n!Dockerfile", "Dockerfile", false],
  ["!Dockerfile\n*", "Dockerfile", true],
  ["*\n!Docker*\nDockerfile", "Dockerfile", true],
  ["a", "a/b/Dockerfile", true],
  ["a\n!a/b", "a/b/Dockerfile", false],
  ["#Dockerfile", "Dockerfile", false],
  ["\uFEFF/Dockerfile\r\n", "Dockerfile", true],
  ["*\n !  Dockerfile ", "Dockerfile", false],
  ["*\n!#x", "#x", false],
  ["*\n!!x", "!x", false],
])("isIgnored with %j and %s returns %s", async (text, path, expected) => {
  expect(await isIgnored(Buffer.from(text), path, signal)).toBe(expected);
});

test("lets other calls run while it matches slow patterns, and ends with the build", async () => {
  const patterns = Buffer.from("*a*a*b\n".repeat(9000));
  const stop = new AbortController();
  const answer = isIgnored(patterns, "a".repeat(250), stop.signal);
  stop.abort(new Error("gone"));
  await expect(answer).rejects.toThrow("gone");
});
