import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { extract, pack } from "tar-stream";
import { expect, test } from "vitest";
import { pathMatch } from "../../../../src/guard/images/path-match.ts";
import { archiveForTenant } from "../../../../src/guard/images/saved-archive.ts";
import { readTime } from "../../../../src/guard/images/times.ts";

test.each([
  ["app", "app", true],
  ["a*", "app", true],
  ["*", "team/app", false],
  ["*/*", "team/app", true],
  ["a?p", "app", true],
  ["[a-c]pp:v[0-9]", "app:v1", true],
  ["[^a]pp", "app", false],
  ["\\*", "app", false],
  ["a*p*:v*1", "app:v2.1", true],
  ["*a*a*a*a*a*a*a*a*a*b", "a".repeat(250), false], // a regular expression with so many stars would take years
])("the pattern %s and the name %s: %s", (pattern, name, isMatch) => expect(pathMatch(pattern)(name)).toBe(isMatch));

test.each(["[a", "[", "\\", "[]", "[a-]", "[-a]", "[]a]", "x".repeat(600)])("refuses the pattern %s", (pattern) => {
  expect(() => pathMatch(pattern)).toThrow(expect.objectContaining({ rule: "filter.pattern", statusCode: 400 }));
});

test.each([
  ["1700000000", 1_700_000_000_000],
  ["1h30m", 10_000_000 - 5_400_000],
  ["2023-11-14", Date.UTC(2023, 10, 14)],
  ["2023-11-14T22:13", Date.UTC(2023, 10, 14, 22, 13)],
  ["2023-11-14T22:13:20+01:00", Date.UTC(2023, 10, 14, 21, 13, 20)],
])("parses the time %s", (given, time) => expect(readTime(given, 10_000_000)).toBe(time));

test.each(["", "yesterday", "2023-99-99", "1x", "-5"])("refuses the time %j", (given) => {
  expect(() => readTime(given, 0)).toThrow(expect.objectContaining({ rule: "filter.time" }));
});

const name = "guard.internal/a/docker.io/library/app";
const signal = new AbortController().signal;

async function rewritten(files: Record<string, string | Buffer>): Promise<Record<string, string>> {
  const tar = pack();
  for (const [path, content] of Object.entries(files)) tar.entry({ name: path }, content);
  tar.finalize();
  const found: Record<string, string> = {};
  const parser = extract();
  parser.end(await buffer(archiveForTenant("a", Readable.from(tar, { objectMode: false }), signal)));
  for await (const entry of parser) found[entry.header.name] = (await buffer(entry)).toString("latin1");
  return found;
}

test("an archive contains the tenant's names, no names of others, and unchanged layers", async () => {
  const layer = Buffer.alloc(1_000_000, "layer");
  const annotations = { "io.containerd.image.name": `${name}:v1`, "org.opencontainers.image.ref.name": "v1", x: "y" };
  const other = { "io.containerd.image.name": "docker.io/library/host:v1", "org.opencontainers.image.ref.name": "v1" };
  const files = await rewritten({
    "blobs/sha256/x": layer,
    "manifest.json": JSON.stringify([{ Config: "c", RepoTags: [`${name}:v1`, "host:v1"] }, { RepoTags: ["host:v1"] }]),
    repositories: JSON.stringify({ [name]: { v1: "x" }, host: { v1: "x" } }),
    "index.json": JSON.stringify({ manifests: [{ digest: "d", annotations }, { annotations: other }] }),
  });
  expect(files["blobs/sha256/x"]).toBe(layer.toString("latin1"));
  expect(JSON.parse(files["manifest.json"] ?? "")).toEqual([{ Config: "c", RepoTags: ["app:v1"] }, { RepoTags: null }]);
  expect(JSON.parse(files["repositories"] ?? "")).toEqual({ app: { v1: "x" } });
  expect(JSON.parse(files["index.json"] ?? "")).toEqual({
    manifests: [
      { digest: "d", annotations: { ...annotations, "io.containerd.image.name": "docker.io/library/app:v1" } },
      {},
    ],
  });
});

test("an archive fails if it breaks off, contains an error instead of its end, or has a large or invalid file", async () => {
  const error = Buffer.from(`${JSON.stringify({ errorDetail: { message: "no" } })}\n`.padEnd(1024, " "));
  await expect(buffer(archiveForTenant("a", Readable.from([error]), signal))).rejects.toThrow(/tar|header|data/i);
  const long = { "manifest.json": `[${" ".repeat(17 * 1024 ** 2)}]` };
  await expect(rewritten(long)).rejects.toMatchObject({ rule: "engine.archive" });
  await expect(rewritten({ "manifest.json": "{" })).rejects.toMatchObject({ rule: "engine.archive", statusCode: 502 });
});
