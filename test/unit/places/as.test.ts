import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { nameThere } from "../../../src/remote/engine-only-transfer.ts";
import { readAsked } from "../../../src/locations/locations.ts";
import { makeImage, savePodman } from "../image/make-image.ts";
import { folder, program, run } from "./cli.ts";
import { look, whole, writeTar } from "./images.ts";

const at = (name: string): string => join(folder, name);
const image = await makeImage([3000]);
await writeTar(at("podman.tar"), await savePodman(image));

const ID = `sha256:${"0a".repeat(32)}`;
const asked = (line: { image: string; as?: string; to?: string }) => {
  const { image: here, asked: there } = readAsked({ command: [], ...line });
  return [here.given, there ?? here.given];
};

describe("what a receiver calls an image, and what it asks for", () => {
  test.each([
    [{ image: "app:v1" }, ["app:v1", "app:v1"]],
    [{ image: ID, as: "app:v1" }, ["app:v1", ID]],
    [{ image: "0a0a0a", as: "app:v1" }, ["app:v1", "0a0a0a"]],
    [{ image: "app:v1", as: "app:v2" }, ["app:v2", "app:v1"]],
    [{ image: ID, to: "docker-daemon:app:v2" }, ["app:v2", ID]],
    [{ image: `docker-daemon:${ID}`, as: "app:v1", to: "oci:layout:v1" }, ["app:v1", ID]],
  ])("%j", (line, names) => expect(asked(line)).toEqual(names));

  test.each([
    [{ image: ID }, "is an image ID, and the image needs a name"],
    [{ image: ID, to: "oci:layout" }, "is an image ID, and the image needs a name"],
    [{ image: "app:v1", as: ID }, "it is an image ID"],
    [{ image: "app:v1", as: "App" }, "must be in lower case"],
    [{ image: ID, as: "app:v1", to: "docker-daemon:app:v2" }, "two names for one image"],
  ])("%j: no", (line, words) => expect(() => asked(line)).toThrow(words));
});

describe("what an image is called at a remote side that is run by this side", () => {
  test.each([
    ["sender", { image: ID, as: "app:v1" }, "app:v1"],
    ["sender", { image: "docker-archive:app.tar", as: "app:v1" }, "app:v1"],
    ["receiver", { image: ID, as: "app:v1" }, ID],
  ] as const)("%s %j: %s", (role, line, name) => expect(nameThere(role, line)).toBe(name));

  test("an ID alone cannot be", () => {
    expect(() => nameThere("sender", { image: ID })).toThrow("needs a name where it arrives");
  });
});

describe("an archive's image can be given another name", () => {
  test.each([
    ["by the sending side", ["push", "--as", "app:v7"], ["app:v7"]],
    ["by the receiving side", ["push"], ["--as", "app:v7", "app:v1"]],
  ])("%s", async (where, push, pull) => {
    const target = where.replaceAll(" ", "-");
    const line = [...push, "docker-archive:podman.tar", ...program, "pull", "--to", `oci:${target}`, ...pull];
    expect(await run(...line)).toMatchObject({ exitCode: 0 });
    expect(await look("oci", at(target), "app:v7")).toEqual(whole(image));
  });

  test("both sides must mean the same", async () => {
    const line = [
      "push",
      "--as",
      "app:v7",
      "docker-archive:podman.tar",
      ...program,
      "pull",
      "--to",
      "oci:no",
      "app:v8",
    ];
    const { exitCode, stderr } = await run(...line);
    expect(exitCode).toBe(13);
    expect(stderr).toContain("the sending side was told --as app:v7, the receiving side asks for app:v8");
  });
});
