import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { caseImages, type CaseImages } from "../matrix/case-image.ts";
import { startTestbed } from "../testbed/start.ts";
import type { Testbed } from "../testbed/testbed.ts";
import { ociBlobs, gzipped, savePodman } from "../unit/image/make-image.ts";
import { layoutOf, look, whole, writeTar, writeTree } from "../unit/command-line/images.ts";
import { bed, done, dos, why } from "./bed.ts";
import { containerd } from "./containerd-pair.ts";
import { asTest } from "./layouts.ts";

/** A test bed whose near machine has Podman and skopeo. */
let podman: Testbed;
let images: CaseImages;
let folder: string;
const at = (name: string): string => join(folder, name);

beforeAll(async () => {
  if (why) return;
  podman = await startTestbed({ near: { kind: "podman" } });
  images = await caseImages("placed");
  folder = join(bed.folder, "locations");
  await mkdir(folder);
  // As buildah and kaniko write it: gzip layers, and only a tag as the name.
  await writeTree(at("v1"), layoutOf([{ image: asTest(images.v1), ref: "v1" }]));
  await writeTree(at("v2"), layoutOf([{ image: asTest(images.v2), ref: "v2" }]));
  await writeTar(at("v2.tar"), await savePodman(asTest(images.v2)));
});

afterAll(async () => {
  await podman?.[Symbol.asyncDispose]();
  if (!why) await rm(folder, { recursive: true });
});

/** An environment without an engine for the sender: DOCKER_HOST names a missing socket. */
const none = { DOCKER_HOST: "unix:///nowhere.sock" };

describe.skipIf(why)(`from a file or a folder into an engine ${why ?? ""}`, () => {
  test.each(["a graph driver", "a containerd store"])(
    "%s: sends only missing layers, and the image runs",
    async (store) => {
      const on = store === "a graph driver" ? bed : containerd;
      const push = async (source: string, name: string) =>
        await dos(["push", source, "ssh", "far", `docker-over-ssh pull ${name}`], { env: none, on });
      expect(await push(`oci:${at("v1")}`, "placed:v1")).toEqual(done);
      const second = await push(`docker-archive:${at("v2.tar")}`, "placed:v2");
      expect(second).toEqual(done);
      expect(second.stderr).toContain("for 2 layers, 3 layers");
      expect((await on.far.docker("run", "--rm", "placed:v2")).stdout).toBe(images.prints);
    },
  );

  test("into an engine alone: the location provides the name of the image", async () => {
    const { v2, prints } = await caseImages("alone");
    await writeTree(at("alone"), layoutOf([{ image: asTest(v2), ref: "v2" }]));
    const push = async (source: string) =>
      await dos(["push", source, "ssh", "far", "docker", "system", "dial-stdio"], { env: none });
    expect(await push(`oci:${at("alone")}:alone:v2`)).toEqual(done);
    expect((await bed.far.docker("run", "--rm", "alone:v2")).stdout).toBe(prints);
    expect(await push(`oci:${at("alone")}`)).toMatchObject({ exitCode: 2 });
  });

  test("by an engine pull: the manifest of a layout keeps its digest, and an archive gets a manifest", async () => {
    const push = async (source: string, name: string, on = containerd) =>
      await dos(["push", source, "ssh", "far", `docker-over-ssh pull --via pull ${name}`], { env: none, on });
    const own = await caseImages("pulled");
    await writeTree(at("pulled"), layoutOf([{ image: asTest(own.v1) }]));
    await writeTar(at("pulled.tar"), await savePodman(asTest(own.v2)));
    expect(await push(`oci:${at("pulled")}`, "pulled:v1")).toEqual(done);
    const { stdout } = await containerd.far.docker("image", "inspect", "--format", "{{.ID}}", "pulled:v1");
    expect(stdout).toBe(ociBlobs(asTest(own.v1), gzipped).manifest.descriptor.digest);
    expect(await push(`docker-archive:${at("pulled.tar")}`, "pulled:v2", bed)).toEqual(done);
    expect((await bed.far.docker("run", "--rm", "pulled:v2")).stdout).toBe(own.prints);
    // The containerd store now has some of the layers as different blobs.
    expect(await push(`docker-archive:${at("pulled.tar")}`, "pulled:v2")).toMatchObject({ exitCode: 12 });
  });
});

describe.skipIf(why)("from an engine into a file or a folder, which docker load accepts", () => {
  test.each([
    ["oci", "a graph driver"],
    ["oci-archive", "a graph driver"],
    ["docker-archive", "a containerd store"],
    ["oci", "a containerd store"],
  ] as const)("%s, from %s", async (kind, store) => {
    const on = store === "a graph driver" ? bed : containerd;
    const { v1, v2 } = await caseImages(`${kind}-${on === bed ? "classic" : "containerd"}`);
    const path = at(v1.name.replace(":", "-"));
    for (const image of [v1, v2]) {
      await writeTar(at("load.tar"), await savePodman(asTest(image)));
      await on.far.docker("load", "--input", at("load.tar"));
      await on.far.docker("tag", "localhost/app:v1", image.name);
      await on.far.docker("rmi", "localhost/app:v1");
      const pull = ["pull", "--to", `${kind}:${path}`, image.name, "ssh", "far", `docker-over-ssh push ${image.name}`];
      const run = await dos(pull, { env: none, on });
      expect(run).toEqual(done);
      if (kind === "oci" && image === v2) expect(run.stderr).toContain("for 2 layers, 3 layers");
      expect(await look(kind, path, image.name)).toEqual(whole(asTest(image)));
    }
    const tar = kind === "oci" ? at("layout.tar") : path;
    if (kind === "oci") await execa("tar", ["-C", path, "-cf", tar, "."]);
    for (const engine of [bed.near, containerd.near]) {
      await engine.docker("load", "--input", tar);
      expect((await engine.docker("run", "--rm", v2.name)).stdout).toBe(`${v2.name.split(":")[0]} v2`);
    }
  });
});

test.skipIf(why)("runs the command lines of the README", async () => {
  const readme = await readFile(new URL("../../README.md", import.meta.url), "utf8");
  const [, section = ""] = /^### Without an engine$(.*?)^#/ms.exec(readme) ?? [];
  const all = section.split("\n").filter((line) => /^docker(?:-over-ssh| save) /.test(line));
  expect(all).toHaveLength(7);
  // An earlier line has sent the image that `docker save` needs.
  const lines = all.toSorted((a, b) => Number(a.startsWith("docker save")) - Number(b.startsWith("docker save")));
  const cwd = at("readme");
  const { v2 } = await caseImages("app");
  await writeTree(join(cwd, "layout"), layoutOf([{ image: asTest(v2), ref: "v2" }]));
  await writeTar(join(cwd, "app.tar"), await savePodman(asTest(v2)));
  for (const line of lines) {
    const command = line.replaceAll(/(ssh |ssh:\/\/)(?:prod|ci)/g, "$1far");
    const env = { ...containerd.env, ...(/docker (?:save|load)/.test(line) ? {} : none) };
    const { exitCode, stderr } = await execa("sh", ["-c", command], { cwd, reject: false, env });
    expect({ line, exitCode, stderr }).toEqual({ line, exitCode: 0, stderr: expect.any(String) as string });
  }
  expect(await look("oci-archive", join(cwd, "images.tar"), "app:v2")).toEqual(whole(asTest(v2)));
});

describe.skipIf(why)("skopeo and Podman", () => {
  const skopeo = async (...args: string[]): Promise<string> => (await podman.near.skopeo(...args)).stdout;
  const configOf = async (location: string): Promise<unknown> =>
    JSON.parse(await skopeo("inspect", "--config", location));

  test("read archives and layouts written by docker-over-ssh, by their names", async () => {
    const { config, name } = images.v2;
    for (const [to, location] of [
      ["oci:read", "oci:read:placed:v2"],
      ["oci:read-by-tag:v9", "oci:read-by-tag:v9"],
      ["oci-archive:read.tar", "oci-archive:read.tar:placed:v2"],
      ["docker-archive:saved.tar", "docker-archive:saved.tar:placed:v2"],
    ]) {
      const there = (text = ""): string => text.replace(":", `:${folder}/`);
      const pull = ["pull", "--to", there(to), name, "docker-over-ssh", "push", `oci:${at("v2")}`];
      expect(await dos(pull, { env: none })).toEqual(done);
      expect(await configOf(there(location))).toEqual(JSON.parse(config.toString()));
    }
    for (const file of ["read.tar", "saved.tar"]) {
      await podman.near.podman("load", "--input", at(file));
      expect((await podman.near.podman("run", "--rm", name)).stdout).toBe(images.prints);
      await podman.near.podman("rmi", name);
    }
  });

  test("write archives and layouts that docker-over-ssh sends", async () => {
    const from = `oci:${at("v1")}:v1`;
    for (const location of [
      "oci:theirs:v1",
      "oci-archive:theirs.tar:app:v1",
      "docker-archive:theirs-saved.tar:app:v1",
    ]) {
      const there = location.replace(":", `:${folder}/`);
      await skopeo("copy", from, there);
      await rm(at("back"), { recursive: true, force: true });
      const push = ["push", there, "docker-over-ssh", "pull", "--to", `oci:${at("back")}`, "placed:v1"];
      expect(await dos(push, { env: none })).toEqual(done);
      expect(await look("oci", at("back"), "placed:v1")).toEqual(whole(asTest(images.v1)));
    }
  });
});
