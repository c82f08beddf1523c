import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { beforeAll, describe, expect, test } from "vitest";
import { makeHaveList } from "../../../src/have/make-have-list.ts";
import { digestOf } from "../../../src/image/digest.ts";
import { PARTIAL_FILE } from "../../../src/image/partial/partial-image.ts";
import { readTar } from "../../matrix/saved-image.ts";
import { makeImage } from "../image/make-image.ts";
import { makeTar } from "../image/tar/make-tar.ts";
import { folder, program, run, settings, start } from "./cli.ts";
import { layoutOf, look, whole, writeTree } from "./images.ts";

const at = (name: string): string => join(folder, name);
const [v1, v2] = [await makeImage([3000, 200_000, 700]), await makeImage([3000, 200_000, 800])];
await writeTree(at("near"), layoutOf([{ image: v2, ref: "app:v2" }]));
await writeTree(at("there"), layoutOf([{ image: v1, ref: "app:v1" }]));

const platform = "linux/amd64";
const engine = { version: "28.5.2", store: "graphdriver", platform } as const;
const listed = [{ names: ["app:v1"], platform, diffIds: v1.diffIds }];
await writeFile(at("have.json"), JSON.stringify(makeHaveList(engine, listed)));

const push = async (to: string, ...more: string[]) =>
  await run("push", "--to", to, "--have", "have.json", ...more, "oci:near:app:v2");
beforeAll(async () => expect(await push("oci-archive:part.tar")).toMatchObject({ exitCode: 0 }));

const pull = async (from: string, to: string, ...images: string[]) =>
  await run("pull", "--from", from, "--to", `oci:${to}`, ...images);

describe("a partial archive", () => {
  test("contains the config and one layer, and is neither a layout nor a docker archive", async () => {
    const files = await readTar(await readFile(at("part.tar")));
    expect([...files.keys()]).toEqual([
      PARTIAL_FILE,
      ...[2, 3].map(() => expect.stringMatching(/^blobs\/sha256\//) as string),
    ]);
    // Each reader begins with one of these files.
    for (const name of ["index.json", "oci-layout", "manifest.json", "repositories"])
      expect(files.has(name)).toBe(false);
  });

  test("completes the image at the target, from a file and from a pipe", async () => {
    const { exitCode, stderr } = await pull("oci-archive:part.tar", "there");
    expect(stderr).toMatch(/pulled app:v2: .* for 1 layer, 2 layers/);
    expect(exitCode).toBe(0);
    expect(await look("oci", at("there"), "app:v2")).toEqual(whole(v2));
    const words = ["pull", "--from", "oci-archive:-", "--to", "oci:there", "--as", "other:v2"];
    const piped = await execa(process.execPath, [...program.slice(1), ...words], {
      ...settings,
      inputFile: at("part.tar"),
    });
    expect(piped.exitCode).toBe(0);
    expect(await look("oci", at("there"), "other:v2")).toEqual(whole(v2));
  });

  test("can be sent to a receiver, and written to stdout", async () => {
    const { exitCode } = await run("push", "oci-archive:part.tar", ...program, "pull", "--to", "oci:there", "sent:v2");
    expect(exitCode).toBe(0);
    expect(await look("oci", at("there"), "sent:v2")).toEqual(whole(v2));
    const own = start("push", "--to", "oci-archive:-", "--have", "have.json", "oci:near:app:v2");
    own.stdout.setEncoding("latin1");
    const { stdout } = await own;
    const files = await readTar(Buffer.from(stdout, "latin1"));
    expect([...files.keys()]).toContain(PARTIAL_FILE);
  });

  test("has one platform; if several are requested, the error says so", async () => {
    const { exitCode, stderr } = await run(
      "pull",
      "--from",
      "oci-archive:part.tar",
      "--all-platforms",
      "--to",
      "oci:x",
    );
    expect(stderr).toContain("it is a partial archive, of one platform");
    expect(exitCode).toBe(13);
  });

  test("names the layers that it lacks if the target no longer has them", async () => {
    const { exitCode, stderr } = await pull("oci-archive:part.tar", "empty");
    expect(stderr).toContain(
      `without 2 layers that the receiving side does not have, or no longer has: ${v2.diffIds.slice(0, 2).join(", ")}`,
    );
    expect(stderr).toContain("Create a new list of that engine");
    expect(exitCode).toBe(3);
  });

  test("has no layers if the target has the image, and is rejected if the disk of the target is too small", async () => {
    const all = makeHaveList(engine, [{ names: [], platform, diffIds: v2.diffIds }]);
    await writeFile(at("all.json"), JSON.stringify(all));
    const small = await run("push", "--to", "oci-archive:small.tar", "--have", "all.json", "oci:near:app:v2");
    expect(small).toMatchObject({ exitCode: 0 });
    expect((await readTar(await readFile(at("small.tar")))).size).toBe(2);
    await writeFile(at("full.json"), JSON.stringify(makeHaveList({ ...engine, bytesFree: 100 }, listed)));
    const full = await run("push", "--to", "oci-archive:full.tar", "--have", "full.json", "oci:near:app:v2");
    expect(full.stderr).toContain("the disk of the receiving engine has 100 B of free space");
    expect(full.exitCode).toBe(11);
  });

  test("in a dry run, the missing layers are printed, and nothing is written", async () => {
    const { exitCode, stderr } = await push("oci-archive:dry.tar", "--dry-run");
    expect(stderr).toContain("2 of 3 layers already present");
    expect(stderr).toContain("remote side: a file or a folder");
    expect(exitCode).toBe(0);
    await expect(readFile(at("dry.tar"))).rejects.toThrow("ENOENT");
  });
});

describe("rejects a damaged or hostile archive, and gives no image a name:", async () => {
  const good = async (): Promise<Map<string, Buffer>> => await readTar(await readFile(at("part.tar")));
  const description = (files: Map<string, Buffer>) =>
    JSON.parse(files.get(PARTIAL_FILE)?.toString() ?? "") as {
      config: string;
      layers: { way: string; diffId: string }[];
    };
  const blobOf = (files: Map<string, Buffer>): string =>
    [...files.keys()].find((path) => path.startsWith("blobs/") && !path.endsWith(description(files).config.slice(7))) ??
    "";

  test.each<[string, (files: Map<string, Buffer>) => void, number, string]>([
    ["a layer is damaged", (files) => files.get(blobOf(files))?.fill(1, 100, 200), 12, "is damaged"],
    ["a layer is not there", (files) => void files.delete(blobOf(files)), 12, "it lacks sha256:"],
    [
      "the config is another",
      (files) => files.set(`blobs/sha256/${description(files).config.slice(7)}`, Buffer.from("{}")),
      12,
      "its config has the digest",
    ],
    [
      "another version has written it",
      (files) => files.set(PARTIAL_FILE, Buffer.from(JSON.stringify({ ...description(files), version: 2 }))),
      3,
      "bad.tar is a partial archive of version 2, but this program reads version 1",
    ],
    [
      "its name has a digest",
      (files) =>
        files.set(
          PARTIAL_FILE,
          Buffer.from(JSON.stringify({ ...description(files), names: [`app@sha256:${"0".repeat(64)}`] })),
        ),
      3,
      "the names in its docker-over-ssh-partial.json are malformed",
    ],
    ["it is no JSON", (files) => files.set(PARTIAL_FILE, Buffer.from("{")), 3, "is not JSON"],
    [
      "it names other layers than the config",
      (files) => files.set(PARTIAL_FILE, Buffer.from(JSON.stringify({ ...description(files), layers: [] }))),
      12,
      "names other layers",
    ],
    [
      "it says that a layer is there which is not",
      (files) => {
        const { layers, ...rest } = description(files);
        const present = layers.map(({ diffId }) => ({ diffId, way: "present" }));
        files.set(PARTIAL_FILE, Buffer.from(JSON.stringify({ ...rest, layers: present })));
      },
      3,
      "without 1 layer that",
    ],
    [
      "it has a layer by delta, and no engine has its base",
      (files) => {
        const { layers, ...rest } = description(files);
        const digest = digestOf("x");
        files.set(`blobs/sha256/${digest.slice(7)}`, Buffer.from("x"));
        const blob = { mediaType: "application/vnd.docker-over-ssh.layer.v1.delta", digest, size: 1 };
        const cut = layers.map((layer) =>
          layer.way === "whole" ? { ...layer, way: "by-delta", blob, size: 9 } : layer,
        );
        files.set(PARTIAL_FILE, Buffer.from(JSON.stringify({ ...rest, layers: cut })));
      },
      3,
      "contains layers by delta, which are rebuilt on the machine of the engine",
    ],
  ])("%s", async (_, harm, exitCode, text) => {
    const files = await good();
    harm(files);
    await writeFile(at("bad.tar"), await makeTar([...files].map(([name, content]) => ({ name, content }))));
    await writeTree(at("victim"), layoutOf([{ image: v1, ref: "app:v1" }]));
    const bad = await pull("oci-archive:bad.tar", "victim");
    expect(bad.stderr).toContain(text);
    expect(bad.exitCode).toBe(exitCode);
    expect(await look("oci", at("victim"), "app:v1")).toEqual(whole(v1));
  });
});

describe("push --to and pull --from without a list", () => {
  test("several images in a layout, which contains each layer once", async () => {
    await writeTree(
      at("both"),
      layoutOf([
        { image: v1, ref: "app:v1" },
        { image: v2, ref: "app:v2" },
      ]),
    );
    const images = ["app:v1", "app:v2"];
    const pushed = await run("push", "--to", "oci:stick", ...images.map((image) => `oci:both:${image}`));
    expect(pushed).toMatchObject({ exitCode: 0, stderr: expect.stringMatching(/1 layer, 2 layers/) as string });
    expect(await pull("oci:stick", "pulled", ...images)).toMatchObject({ exitCode: 0 });
    for (const place of ["stick", "pulled"]) expect(await look("oci", at(place), "app:v2")).toEqual(whole(v2));
    expect(await pull("oci:stick", "pulled", "app:v1", "app:v3")).toMatchObject({ exitCode: 3 });
    const nameless = await pull("oci:stick", "pulled");
    expect(nameless.stderr).toContain(
      "oci:stick has several images or names, or an image without a full name, and no IMAGE is named",
    );
    expect(nameless.exitCode).toBe(2);
  });

  test("an image with another name does not match the requested image", async () => {
    for (const from of ["oci:near", "oci-archive:part.tar"]) {
      const { exitCode, stderr } = await pull(from, "wrong", "db:v3");
      expect(stderr).toContain("it holds no image db:v3");
      expect(exitCode).toBe(3);
    }
    const all = await run("pull", "--from", "oci:near", "--all-platforms", "--to", "oci:wrong", "app:v2", "db:v3");
    expect(all.stderr).toContain("it holds no image db:v3");
    expect(all.exitCode).toBe(3);
    expect(await run("pull", "--from", "oci:near", "--to", "oci:renamed", "--as", "db:v3", "app:v2")).toMatchObject({
      exitCode: 0,
    });
    await writeTree(at("nameless"), layoutOf([{ image: v2 }]));
    expect((await pull("oci:nameless", "wrong", "app:v2")).stderr).toContain("give it one with --as NAME");
    expect(await run("pull", "--from", "oci:nameless", "--to", "oci:named", "--as", "app:v2")).toMatchObject({
      exitCode: 0,
    });
  });

  test("one image in an archive, which any program can read", async () => {
    expect(await run("push", "--to", "oci-archive:whole.tar", "oci:near:app:v2")).toMatchObject({ exitCode: 0 });
    expect(await look("oci-archive", at("whole.tar"), "app:v2")).toEqual(whole(v2));
  });
});

test.each([
  [["push", "--to", "oci:x", "app", "ssh://h"], "--to oci:x is the other side, but ssh://h is for a different one"],
  [["push", "--to", "oci:x", "--sudo", "app"], "--sudo is for a host, but --to oci:x writes to a file or a folder"],
  [
    ["push", "--to", "oci:x", "--keep", "2", "app"],
    "--keep is for a host, but --to oci:x writes to a file or a folder",
  ],
  [["push", "--to", "x", "app"], "--to x does not name a file or folder"],
  [["push", "--to", "oci-archive:x.tar", "app", "db"], "accepts one image, but several are named"],
  [["push", "--to", "oci:x", "--compress", "gzip", "app"], "--compress has no effect"],
  [["push", "--to", "oci:x", "--have", "have.json", "app"], "needs an archive from which to omit layers"],
  [["push", "--to", "oci-archive:x.tar", "--have", "have.json", "--all-platforms", "app"], "is for one platform"],
  [
    ["push", "--to", "oci-archive:x.tar:app:v9", "--have", "have.json", "app"],
    "oci-archive:x.tar:app:v9 names the image",
  ],
  [["list", "-H", "unix:///nowhere.sock", "ssh://h"], "--host is for the engine of this side"],
  [["push", "--have", "have.json", "app", "ssh://h"], "needs an archive from which to omit layers"],
  [["push", "--to", "oci-archive:x.tar", "--have", "no.json", "app"], "no.json cannot be read"],
  [["push", "--to", "oci-archive:x.tar", "--have", "part.tar", "app"], "part.tar is not a list of an engine"],
  [["push", "--json", "--to", "oci-archive:-", "app"], "both write to stdout"],
  [["push", "--to", "oci:x", "--run", "true", "app"], "--run is a command for a host"],
  [["pull", "--from", "docker-daemon:app"], "does not name a file or folder"],
  [["pull", "--from", "oci:x", "app", "ssh://h"], "but ssh://h is for a different one"],
  [
    ["pull", "--from", "oci:x", "--ssh", "ssh", "app"],
    "--ssh is for a host, but --from oci:x reads from a file or a folder",
  ],
  [["pull", "--from", "oci:x", "--via", "pull", "app"], "--via pull has no effect with --from oci:x"],
])("rejects the command line %j", async (words, text) => {
  const { exitCode, stderr } = await run(...words);
  expect(stderr).toContain(text);
  expect(exitCode).toBe(2);
});
