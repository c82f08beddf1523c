import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { makeImage, savePodman } from "../image/make-image.ts";
import { folder, program, run } from "./cli.ts";
import { look, whole, writeTar } from "./images.ts";

const at = (name: string): string => join(folder, name);
const image = await makeImage([3000]);
await writeTar(at("podman.tar"), await savePodman(image));

describe("renames the image of an archive", () => {
  test.each([
    ["by the sending side", ["push", "--as", "app:v7"], ["app:v7"]],
    ["by the receiving side", ["push"], ["--as", "app:v7", "app:v1"]],
  ])("%s", async (where, push, pull) => {
    const target = where.replaceAll(" ", "-");
    const line = [...push, "docker-archive:podman.tar", ...program, "pull", "--to", `oci:${target}`, ...pull];
    expect(await run(...line)).toMatchObject({ exitCode: 0 });
    expect(await look("oci", at(target), "app:v7")).toEqual(whole(image));
  });

  test("different names on both sides are an error", async () => {
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
    expect(stderr).toContain("the sending side has --as app:v7, the receiving side requests app:v8");
  });
});
