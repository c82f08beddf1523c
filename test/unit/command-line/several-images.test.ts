import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { makeImage } from "../image/make-image.ts";
import { folder, program, run } from "./cli.ts";
import { layoutOf, look, whole, writeTree } from "./images.ts";

const at = (name: string): string => join(folder, name);
const [a, b, c] = [
  await makeImage([3000, 200_000, 700]),
  await makeImage([3000, 200_000, 800]),
  await makeImage([3000, 900]),
];
const images = [
  { image: a, ref: "a:v1" },
  { image: b, ref: "b:v1" },
  { image: c, ref: "c:v1" },
];
await writeTree(at("all"), layoutOf(images));
const sources = ["oci:all:a:v1", "oci:all:b:v1", "oci:all:c:v1"];
const names = ["a:v1", "b:v1", "c:v1"];

/** The rows of the last table, by image. */
function tableIn(stderr: string): Record<string, string> {
  const lines = stderr.split("\n");
  const rows = lines.slice(lines.findIndex((line) => line.startsWith("IMAGE ")) + 1);
  return Object.fromEntries(
    rows.flatMap((row) => {
      const [, image, result] = /^(\S+) {3,}(\S.*)$/.exec(row) ?? [];
      return image === undefined || result === undefined ? [] : [[image, result]];
    }),
  );
}

describe.concurrent("several images over one connection", () => {
  test.each(["push", "pull"])("%s: layers that they share are sent once", async (verb) => {
    const [push, pull] = [
      ["push", ...sources, "--"],
      ["pull", "--to", `oci:to-${verb}`, ...names, "--"],
    ];
    const line = verb === "push" ? [...push, ...program, ...pull] : [...pull, ...program, ...push];
    const { exitCode, stderr } = await run(...line);
    expect(stderr).toContain("a:v1");
    expect(exitCode).toBe(0);
    expect(Object.values(tableIn(stderr))).toEqual([
      expect.stringMatching(/, 3 layers, /),
      expect.stringMatching(/, 1 layer, /),
      expect.stringMatching(/, 1 layer, /),
    ]);
    for (const { image, ref } of images) expect(await look("oci", at(`to-${verb}`), ref)).toEqual(whole(image));
  });
});
