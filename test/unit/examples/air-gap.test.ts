import { readdir } from "node:fs/promises";
import { expect, test } from "vitest";
import { layoutOf, look, whole, writeTree } from "../command-line/images.ts";
import { makeImage } from "../image/make-image.ts";
import { at, example, makeStandIns, runNear } from "./stand-ins.ts";

const [v1, v2] = [await makeImage([3000, 200_000, 700]), await makeImage([3000, 200_000, 800])];
const images = [
  { image: v1, ref: "app:v1" },
  { image: v2, ref: "app:v2" },
];
await writeTree(at("near/images"), layoutOf(images));
await makeStandIns();

const save = async (...names: string[]) => await runNear([example("air-gap/save.sh"), at("stick"), ...names]);
const load = async (...names: string[]) =>
  await runNear([example("air-gap/load.sh"), at("stick"), ...names], { ENGINE: at("other") });

test("a second version adds only its new layers to the stick and to the engine of the receiver", async () => {
  const countBlobs = async (): Promise<number> => (await readdir(at("stick/blobs/sha256"))).length;
  expect(await save("app:v1")).toMatchObject({ exitCode: 0 });
  const before = await countBlobs();
  expect(await save("app:v1", "app:v2")).toMatchObject({ exitCode: 0 });
  expect((await countBlobs()) - before).toBe(3); // a layer, a config, a manifest

  expect(await load("app:v1")).toMatchObject({ exitCode: 0 });
  const { exitCode, stderr } = await load("app:v1", "app:v2");
  expect(stderr).toMatch(/pushed \S*app:v2: .* for 1 layer, 2 layers/);
  expect(exitCode).toBe(0);
  for (const place of ["stick", "other"]) {
    for (const { image, ref } of images) expect(await look("oci", at(place), ref)).toEqual(whole(image));
  }
});

test("fails for a missing image", async () => {
  expect(await save("app:v3")).toMatchObject({ exitCode: 3 });
  expect(await load("app:v3")).toMatchObject({ exitCode: 3 });
});
