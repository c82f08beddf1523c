import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { expect, describe, test } from "vitest";
import { digestOf } from "../../../src/image/digest.ts";
import {
  blobEntries,
  gzipped,
  index,
  LAYOUT,
  makeImage,
  ociBlobs,
  plain,
  saveLegacy,
  saveOci,
  savePodman,
} from "../image/make-image.ts";
import { readTar } from "../../matrix/saved-image.ts";
import { folder, program, run } from "./cli.ts";
import { layoutOf, look, readTree, whole, writeTar, writeTree } from "./images.ts";

const at = (name: string): string => join(folder, name);
const image = await makeImage([3000, 200_000, 700, 40_000]);
/** The same two bottom layers, with two other layers above them. */
const next = await makeImage([3000, 200_000, 900, 50_000]);

await writeTree(at("gzip"), layoutOf([{ image, ref: "v1" }]));
await writeTree(at("plain"), layoutOf([{ image, ref: "app:v1" }], plain));
await writeTar(at("archive.tar"), layoutOf([{ image }]));
await writeTar(at("podman.tar"), await savePodman(image));
await writeTar(at("legacy.tar"), await saveLegacy(image));
await writeTar(at("saved.tar"), saveOci(image, plain));
await writeTar(at("packed.tar"), saveOci(image, gzipped));
await writeTree(at("next"), layoutOf([{ image: next, ref: "v2" }]));
await writeTar(at("next.tar"), await savePodman(next));

const kinds = ["oci", "oci-archive", "docker-archive"] as const;
const forms = [
  ...["oci:gzip:v1", "oci-archive:archive.tar", "docker-archive:podman.tar"].flatMap((source) =>
    kinds.map((kind) => [source, kind] as const),
  ),
  ["oci:plain", "oci-archive"],
  ["docker-archive:legacy.tar:app:v1", "oci"],
  ["docker-archive:saved.tar", "oci"],
  ["docker-archive:packed.tar", "docker-archive"],
] as const;

describe.concurrent("without an engine on either side", () => {
  test.each(forms.map(([source, kind], index) => [source, kind, index] as const))(
    "from %s to %s",
    async (source, kind, number) => {
      const [push, pull] = [
        ["push", source],
        ["pull", "--to", `${kind}:to-${number}`, "app:v2"],
      ];
      const line = number % 2 === 0 ? [...push, ...program, ...pull] : [...pull, ...program, ...push];
      expect(await run(...line)).toEqual({
        exitCode: 0,
        stderr: expect.stringContaining("4 layers, 0 layers already present") as string,
      });
      expect(await look(kind, at(`to-${number}`), "app:v2")).toEqual(whole(image));
      if (kind !== "docker-archive") return;
      const files = await readTar(await readFile(at(`to-${number}`)));
      const [item] = JSON.parse(files.get("manifest.json")?.toString() ?? "") as {
        RepoTags: string[];
        Layers: string[];
      }[];
      expect(item?.RepoTags).toEqual(["app:v2"]);
      // Plain, as from `docker save`.
      expect(item?.Layers.map((path) => digestOf(files.get(path) ?? ""))).toEqual(image.diffIds);
    },
  );
});

test.each([
  ["oci:next", "grown"],
  ["docker-archive:next.tar", "grown-plain"],
])("sends only the new layers of a second version from %s, and both versions are intact", async (source, to) => {
  const push = async (from: string, name: string, sent: string) =>
    await run("push", from, "sh", "-c", `tee "$0" | "$@"`, at(sent), ...program, "pull", "--to", `oci:${to}`, name);
  expect((await push("docker-archive:podman.tar", "app:v1", "sent-1")).exitCode).toBe(0);
  const second = await push(source, "app:v2", "sent-2");
  expect(second.stderr).toContain("for 2 layers, 2 layers");
  expect((await stat(at("sent-1"))).size).toBeGreaterThan(240_000);
  expect((await stat(at("sent-2"))).size).toBeLessThan(80_000);
  for (const [name, sent] of [["app:v1", image] as const, ["app:v2", next] as const])
    expect(await look("oci", at(to), name)).toEqual(whole(sent));
  // The name moves to the other image.
  expect((await push(source, "app:v1", "sent-3")).stderr).toContain("for 0 layers, 4 layers");
  expect(await look("oci", at(to), "app:v1")).toEqual(whole(next));
  const { manifests } = JSON.parse(await readFile(join(at(to), "index.json"), "utf8")) as { manifests: object[] };
  expect(manifests).toHaveLength(2);
});

test("from layout to layout the manifest keeps its digest, also with unknown fields", async () => {
  const { blobs, manifest } = ociBlobs(image, gzipped);
  const annotated = { ...(JSON.parse(manifest.bytes.toString()) as object), annotations: { made: "by hand" } };
  const bytes = Buffer.from(JSON.stringify(annotated, undefined, 2));
  const descriptor = { ...manifest.descriptor, digest: digestOf(bytes), size: bytes.length };
  await writeTree(at("annotated"), [...blobEntries([bytes, ...blobs]), index([descriptor]), LAYOUT]);
  for (const to of ["oci:kept:v9", "oci-archive:kept.tar:v9"])
    expect((await run("pull", "--to", to, "app:v1", ...program, "push", "oci:annotated")).exitCode).toBe(0);
  const entry = {
    ...descriptor,
    annotations: {
      "io.containerd.image.name": "docker.io/library/app:v1",
      "org.opencontainers.image.ref.name": "v9",
    },
  };
  for (const files of [await readTree(at("kept")), await readTar(await readFile(at("kept.tar")))]) {
    expect((JSON.parse(files.get("index.json")?.toString() ?? "") as { manifests: object[] }).manifests).toEqual([
      entry,
    ]);
    // manifest.json is for `docker load` into a classic store, which ignores index.json.
    const [item] = JSON.parse(files.get("manifest.json")?.toString() ?? "") as { RepoTags: string[] }[];
    expect(item?.RepoTags).toEqual(["docker.io/library/app:v1"]);
  }
});

test("an image with the same layer twice", async () => {
  const twice = await makeImage([3000, 500, 3000]);
  await writeTree(at("twice"), layoutOf([{ image: twice }]));
  for (const kind of kinds) {
    const { exitCode } = await run("push", "oci:twice", ...program, "pull", "--to", `${kind}:twice-${kind}`, "app:v1");
    expect(exitCode).toBe(0);
    expect(await look(kind, at(`twice-${kind}`))).toEqual(whole(twice));
  }
});

test("an image without layers", async () => {
  const none = await makeImage([]);
  await writeTree(at("none"), layoutOf([{ image: none }]));
  for (const kind of kinds) {
    const { exitCode } = await run("push", "oci:none", ...program, "pull", "--to", `${kind}:none-${kind}`, "app:v1");
    expect(exitCode).toBe(0);
    expect(await look(kind, at(`none-${kind}`))).toEqual(whole(none));
  }
});
