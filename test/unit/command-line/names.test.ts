import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readTar } from "../../matrix/saved-image.ts";
import { makeImage, savePodman } from "../image/make-image.ts";
import { folder, program, run } from "./cli.ts";
import { layoutOf, look, whole, writeTar, writeTree } from "./images.ts";

const at = (name: string): string => join(folder, name);
const image = await makeImage([3000]);
await writeTar(at("podman.tar"), await savePodman(image)); // it names the image app:v1
await writeTree(at("nameless"), layoutOf([{ image }]));

const THREE = ["app:v7", "registry.example.com/team/tool:v8", "app:latest"];
const NAMES = ["--as", "app:v7", "--as", "registry.example.com/team/tool:v8", "--tag-also", "latest"];

describe("gives an image several names", () => {
  test.each([
    ["oci", "layout"],
    ["oci-archive", "several.tar"],
    ["docker-archive", "saved.tar"],
  ] as const)("in %s:%s, by the receiving side", async (kind, path) => {
    const line = ["push", "docker-archive:podman.tar", ...program, "pull", "--to", `${kind}:${path}`];
    const { exitCode, stderr } = await run(...line, ...NAMES, "app:v1");
    expect(stderr).toContain(`pushed docker-archive:podman.tar as ${THREE.join(", ")}: `);
    expect(exitCode).toBe(0);
    for (const name of THREE) expect(await look(kind, at(path), name)).toEqual(whole(image));
    if (kind !== "docker-archive") return;
    const manifest = (await readTar(await readFile(at(path)))).get("manifest.json");
    expect(JSON.parse(String(manifest))).toMatchObject([{ RepoTags: THREE }]);
  });

  test("the name in the location is the first one", async () => {
    const line = ["push", "docker-archive:podman.tar", ...program, "pull", "--to", "oci:named:v9"];
    expect(await run(...line, "--tag-also", "latest", "app:v1")).toMatchObject({ exitCode: 0 });
    for (const name of ["v9", "app:latest"]) expect(await look("oci", at("named"), name)).toEqual(whole(image));
  });

  test("a name that the receiving side does not give causes an error, and the image gets no name", async () => {
    const line = ["push", "--tag-also", "latest", "docker-archive:podman.tar", ...program];
    const { exitCode, stderr } = await run(...line, "pull", "--to", "docker-archive:refused.tar", "app:v1");
    expect(stderr).toContain("the sending side names the image app:latest as well, and the receiving side does not");
    expect(exitCode).toBe(13);
    expect((await run("push", "docker-archive:refused.tar", ...program, "pull", "app")).exitCode).toBe(3);
  });
});

describe("pull without IMAGE receives all that the sender offers", () => {
  const offered = async (push: string[], pull: string[]) => await run("push", ...push, ...program, "pull", ...pull);

  test.each([
    ["the name in the archive", ["docker-archive:podman.tar"], [], ["app:v1"]],
    ["the names that the sender gives", [...NAMES, "docker-archive:podman.tar"], [], THREE],
    [
      "the sender's name, and tags of it",
      ["docker-archive:podman.tar"],
      ["--tag-also", "latest"],
      ["app:v1", "app:latest"],
    ],
    ["its own name for an image without one", ["oci:nameless"], ["--as", "app:v8"], ["app:v8"]],
  ])("%s", async (what, push, pull, names) => {
    const target = what.replaceAll(/\W/g, "-");
    expect(await offered(push, ["--to", `oci:${target}`, ...pull])).toMatchObject({ exitCode: 0 });
    for (const name of names) expect(await look("oci", at(target), name)).toEqual(whole(image));
  });

  test("several images, each with a further tag", async () => {
    await writeTree(at("two"), layoutOf(["a:v1", "b:v1"].map((ref) => ({ image, ref }))));
    const line = ["push", "--tag-also", "latest", "oci:two:a:v1", "oci:two:b:v1", "--", ...program, "pull"];
    expect(await run(...line, "--to", "oci:both")).toMatchObject({ exitCode: 0 });
    for (const name of ["a:v1", "a:latest", "b:v1", "b:latest"]) {
      expect(await look("oci", at("both"), name)).toEqual(whole(image));
    }
  });

  test("rejects an archive without a name", async () => {
    const { exitCode, stderr } = await offered(["oci:nameless"], ["--to", "oci:none"]);
    expect(stderr).toContain("the sending side has no name for the image");
    expect(stderr).toContain("--as app:v2");
    expect(exitCode).toBe(13);
  });
});
