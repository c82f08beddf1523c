import { createReadStream } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { expect, test } from "vitest";
import type { Engine } from "../../../../src/engine/engine.ts";
import { absentLayer } from "../../../../src/image/archive/absent-layer.ts";
import type { ArchivedImage } from "../../../../src/image/archive/image-archive.ts";
import { chainIds, digestOf } from "../../../../src/image/digest.ts";
import { MEDIA_TYPE } from "../../../../src/image/manifest.ts";
import { writeDelta } from "../../../../src/rebuild/delta-blob.ts";
import { LayersByDelta } from "../../../../src/send/from-archive/layers-by-delta.ts";
import { rejection, temporaryFolder } from "../../engine/fake-engine.ts";
import { makeTar } from "../../image/tar/make-tar.ts";
import { pseudoRandomBytes } from "../../pseudo-random.ts";

const old = await makeTar([{ name: "app/1", content: pseudoRandomBytes(50_000, 1) }]);
const next = await makeTar([
  { name: "app/1", content: pseudoRandomBytes(50_000, 1) },
  { name: "app/2", content: pseudoRandomBytes(500, 2) },
]);
const diffId = digestOf(next);
const tars = async function* () {
  yield { covers: "/app", tar: Readable.from([old], { objectMode: false }) };
};
const platform = { os: "linux", architecture: "amd64" };
const engine = {
  address: "here",
  listImageIds: async () => ["v1"],
  inspectImage: async () => ({ id: "v1", names: [], diffIds: [digestOf(old)], platform, size: 0 }),
  openFiles: async () => ({
    read: async () => Readable.from([old], { objectMode: false }),
    [Symbol.asyncDispose]: async () => {},
  }),
  [Symbol.asyncDispose]: async () => {},
} as unknown as Engine;

/** A partial archive with `next` by delta, and the object that rebuilds it. */
async function opened(folder: string, size = next.length) {
  const [tar, path] = [join(folder, "tar"), join(folder, "delta")];
  await writeFile(tar, next);
  const { signal } = new AbortController();
  await writeDelta({ tar, size: next.length, base: { tars }, path, signal });
  const layer = {
    diffId,
    blob: { mediaType: MEDIA_TYPE.ociLayer, digest: diffId, size },
    ...absentLayer(path),
    delta: { open: () => createReadStream(path) },
  };
  const base = { name: "app:v1", chainId: chainIds([digestOf(old)]).at(-1) ?? "" };
  const image = { layers: [layer], partial: { listed: "", base } } as unknown as ArchivedImage;
  const byDelta = new LayersByDelta({
    location: { kind: "oci-archive", given: "oci-archive:part.tar", path: "part.tar" },
    engine: async () => engine,
    env: { XDG_CACHE_HOME: folder },
    signal,
  });
  return { byDelta, image, layer };
}

test("returns the same file for a layer that is requested again, and counts its bytes once", async () => {
  await using folder = await temporaryFolder();
  const { byDelta, image, layer } = await opened(folder.path);
  await using _ = byDelta;
  const first = await byDelta.rebuild(image, layer);
  const { moved } = byDelta;
  expect(moved).toBeGreaterThan(old.length);
  for (const whole of [first, await byDelta.rebuild(image, layer)])
    expect((await buffer(whole.open())).equals(next)).toBe(true);
  expect(byDelta.moved).toBe(moved);
});

test("does not report a layer as damaged if the disk has no room for it", async () => {
  await using folder = await temporaryFolder();
  const { byDelta, image, layer } = await opened(folder.path, 2 ** 50);
  await using _ = byDelta;
  expect(await rejection(byDelta.rebuild(image, layer))).toMatchObject({ code: "no-space" });
});
