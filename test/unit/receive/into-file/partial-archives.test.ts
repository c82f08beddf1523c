import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import type { Engine } from "../../../../src/engine/engine.ts";
import { makeHaveList } from "../../../../src/have/make-have-list.ts";
import { digestOf } from "../../../../src/image/digest.ts";
import { MEDIA_TYPE } from "../../../../src/image/manifest.ts";
import { PARTIAL_FILE } from "../../../../src/image/partial/partial-image.ts";
import { parseReference } from "../../../../src/image/reference.ts";
import { outputTo } from "../../../../src/output/output.ts";
import { partialArchives } from "../../../../src/receive/into-file/partial-archives.ts";
import type { ReceiveOptions } from "../../../../src/receive/receive-options.ts";
import { temporaryFolder } from "../../engine/fake-engine.ts";
import { makeTar } from "../../image/tar/make-tar.ts";
import { pseudoRandomBytes } from "../../pseudo-random.ts";

const platform = "linux/amd64";
const files = [1, 2, 3].map((seed) => ({ name: `app/${seed}`, content: pseudoRandomBytes(300_000, seed) }));
const old = await makeTar(files);
const next = await makeTar([...files, { name: "app/new", content: pseudoRandomBytes(5000, 9) }]);
const list = makeHaveList({ version: "28.5.2", store: "graphdriver", platform }, [
  { names: ["app:v1"], platform, diffIds: [digestOf(old)] },
]);

/** An engine with app:v1. */
const engine = {
  address: "here",
  takesManyAtOnce: true,
  listImageIds: async () => ["sha256:v1"],
  inspectImage: async () => ({
    id: "sha256:v1",
    names: ["app:v1"],
    diffIds: [digestOf(old)],
    platform: { os: "linux", architecture: "amd64" },
    size: 0,
  }),
  openFiles: async () => ({
    read: async () => Readable.from([old], { objectMode: false }),
    [Symbol.asyncDispose]: async () => {},
  }),
  [Symbol.asyncDispose]: async () => {},
} as unknown as Engine;

test("reports the bytes that are read to cut a layer, and leaves only the delta in the spool", async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "layer");
  const stored = gzipSync(next);
  await writeFile(path, stored);
  const diffId = digestOf(next);
  const blob = { mediaType: MEDIA_TYPE.ociLayerGzip, digest: digestOf(stored), size: stored.length };
  const stages: string[] = [];
  const image = parseReference("app:v2");
  const options = {
    about: { diffIds: [diffId], platform: { os: "linux", architecture: "amd64" } },
    image,
    names: [image],
    signal: new AbortController().signal,
    output: outputTo(() => {}),
    onProgress: ({ stage }: { stage: string }) => void stages.push(stage),
  } as unknown as ReceiveOptions;
  const spool = {
    folder: folder.path,
    pathFor: (name: string) => join(folder.path, name),
    [Symbol.asyncDispose]: async () => {},
  };
  let moved = 0;
  const made = await partialArchives({ list, engine: async () => engine }).make(
    { files: [{ kind: "file", diffId, path, size: stored.length, blob }], config: Buffer.from("{}") } as never,
    options,
    spool,
    (bytes) => (moved += bytes),
  );
  expect(moved).toBeGreaterThan(next.length * 2 + old.length);
  expect(new Set(stages)).toEqual(new Set(["preparing"]));
  expect(await readdir(folder.path)).toEqual([`${diffId.slice("sha256:".length)}.delta`, "layer"].toSorted());
  expect(await text(Readable.from(made.tar))).toContain(PARTIAL_FILE);
});
