import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildImage } from "../testbed/build-image.ts";
import { bed, done, dos, why } from "./bed.ts";

const MB = 1_000_000;
/** Larger than the limit for an engine push from a graph driver, which gzips: `docker save` exports it uncompressed, and the sender packs it. */
const LARGE = "compress-large:v1";
const SMALL = "compress-small:v1";
const ENGINE = ["ssh", "far", "docker", "system", "dial-stdio"];

let folder: string;
/** The small image in an archive with uncompressed layers: a graph driver pushes gzipped ones. */
let archive: string;

beforeAll(async () => {
  if (why) return;
  folder = mkdtempSync(join(tmpdir(), "dos-compress-"));
  archive = join(folder, "small.tar");
  await buildImage(bed.near, LARGE, [{ name: "compress-large", bytes: 66 * MB, files: 20, content: "text" }]);
  await buildImage(bed.near, SMALL, [{ name: "compress-small", bytes: 4 * MB, files: 20, content: "text" }]);
  await bed.near.docker("save", "--output", archive, SMALL);
});

/** Other test files count layers that are new to the engines. */
afterAll(async () => {
  if (why) return;
  await bed.near.docker("rmi", "--force", LARGE, SMALL);
  rmSync(folder, { recursive: true });
});

/** Returns the bytes of a push on the wire. Runs the image on the far engine, and removes it. */
async function push(image: string, options: string[], to: string[], source = image): Promise<number> {
  const wire = await bed.countWire();
  expect(await dos(["push", ...options, source, ...to])).toEqual(done);
  const { toFar } = await wire();
  expect((await bed.far.docker("run", "--rm", image)).stdout).toBe(image.replace(":", " "));
  await bed.far.docker("rmi", image);
  return toFar;
}

describe.skipIf(why)(`--compress ${why ?? ""}`, () => {
  test("either side's option decides the bytes on the wire", async () => {
    const far = (...options: string[]): string[] => [
      "ssh",
      "far",
      ["docker-over-ssh pull", ...options, LARGE].join(" "),
    ];
    const plain = await push(LARGE, ["--compress", "none"], far());
    const gzip = await push(LARGE, ["--compress", "gzip:9"], far());
    const brotli = await push(LARGE, [], far("--compress", "brotli:5"));
    expect(plain).toBeGreaterThan(66 * MB);
    expect(gzip).toBeLessThan(plain / 2);
    expect(brotli).toBeLessThan(gzip);
  }, 300_000);

  test("an engine alone accepts only gzip or no compression", async () => {
    const source = `docker-archive:${archive}:${SMALL}`;
    const plain = await push(SMALL, ["--compress", "none"], ENGINE, source);
    const light = await push(SMALL, ["--compress", "gzip:1"], ENGINE, source);
    const strong = await push(SMALL, ["--compress", "gzip:9"], ENGINE, source);
    expect(plain).toBeGreaterThan(4 * MB);
    expect(light).toBeLessThan(plain / 2);
    expect(strong).toBeLessThan(light);
  });
});

describe.skipIf(why)("--bwlimit", () => {
  test.each([
    ["docker-over-ssh", ["ssh", "far", `docker-over-ssh pull ${SMALL}`]],
    ["docker-over-ssh that limits itself", ["ssh", "far", `docker-over-ssh pull --bwlimit 4m ${SMALL}`]],
    ["an engine alone", ENGINE],
    ["ssh://HOST", ["ssh://far"]],
  ])("a push to %s is complete", async (_, to) => {
    expect(await push(SMALL, ["--bwlimit", "2mb"], to)).toBeGreaterThan(MB);
  });

  test.each([
    ["docker-over-ssh", ["ssh", "far", `docker-over-ssh push ${SMALL}`]],
    ["an engine alone", ENGINE],
  ])("a pull from %s is complete", async (_, from) => {
    expect(await dos(["push", SMALL, ...ENGINE])).toEqual(done);
    await bed.near.docker("rmi", SMALL);
    expect(await dos(["pull", "--bwlimit", "2mb", SMALL, ...from])).toEqual(done);
    expect((await bed.near.docker("run", "--rm", SMALL)).stdout).toBe(SMALL.replace(":", " "));
    await bed.far.docker("rmi", SMALL);
  });
});
