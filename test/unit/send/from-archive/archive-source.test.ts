import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { archiveSource } from "../../../../src/send/from-archive/archive-source.ts";
import { readPushRequest } from "../../../../src/commands/push.ts";
import { pushToRemote } from "../../../../src/run-batch/run-batch.ts";
import { outputTo } from "../../../../src/output/output.ts";
import { dockerManifest, makeImage } from "../../image/make-image.ts";
import { layoutOf, writeTar } from "../../command-line/images.ts";

const folder = await mkdtemp(join(tmpdir(), "names-"));
afterAll(async () => await rm(folder, { recursive: true }));
const image = await makeImage([100]);
const other = await makeImage([200]);
const output = outputTo(() => {});
const context = { env: { PATH: process.env.PATH }, output, signal: new AbortController().signal };
let count = 0;

async function docker(names: string[]): Promise<string> {
  const path = join(folder, `${(count += 1)}.tar`);
  const entries = [
    { name: "config.json", content: image.config },
    { name: "layer.tar", content: image.layers[0] ?? "" },
  ];
  await writeTar(path, [...entries, dockerManifest("config.json", ["layer.tar"], names)]);
  return path;
}

test.each([
  [["app:v2"], "app:v2"],
  [["docker.io/library/app:v2", "app:v2", "v2"], "app:v2"],
  [["localhost/app:v2"], "localhost/app:v2"],
  [["registry.example.com:5000/team/app"], "registry.example.com:5000/team/app:latest"],
  [["app:v1", "app:v2"], undefined],
  [["v2"], undefined],
  [[], undefined],
])("returns for an archive with the image names %j the name %s", async (names, name) => {
  await using source = await archiveSource({ kind: "docker-archive", given: "", path: await docker(names) }, context);
  expect((await source.name?.({}))?.given).toBe(name);
});

test("returns no name for an archive of two images", async () => {
  const path = join(folder, "two.tar");
  const images = [
    { image, ref: "app:v1" },
    { image: other, ref: "app:v2" },
  ];
  await writeTar(path, layoutOf(images));
  await using source = await archiveSource({ kind: "oci-archive", given: "", path }, context);
  expect(await source.name?.({})).toBeUndefined();
});

test("requires --as for an archive without a name and a remote engine", async () => {
  const push = async (path: string) =>
    await pushToRemote(
      readPushRequest(`docker-archive:${path}`, { kind: "engine", words: ["false", "system", "dial-stdio"] }, {}, {}),
      context,
    );
  await expect(push(await docker([]))).rejects.toMatchObject({ code: "usage" });
  await expect(push(await docker(["app:v2"]))).rejects.toMatchObject({ code: "engine-unreachable" });
});
