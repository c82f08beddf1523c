/** `pull --max-size`: what it takes, what counts, and how it refuses. */
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parseCommandLine } from "../../../src/cli.ts";
import { makeImage, plain } from "../image/make-image.ts";
import { layoutOf, writeTree } from "../places/images.ts";
import { refused, told, folder, program, workplace, type Ended } from "./run-program.ts";

const image = await makeImage([3000, 70_000]);
const twice = await makeImage([70_000, 70_000]);
const lower = await makeImage([3000]);
const sizes = image.layers.map(({ length }) => length);
const [lowest = 0, top = 0] = sizes;
const all = lowest + top;

for (const [name, one] of Object.entries({ image, twice, lower })) {
  await writeTree(join(folder, name), layoutOf([{ image: one, ref: "v1" }]));
}
await writeTree(join(folder, "plain"), layoutOf([{ image, ref: "v1" }], plain));

describe("sizes", () => {
  test.each([
    ["100", 100],
    ["7b", 7],
    ["0", 0],
    ["1.5k", 1536],
    ["500m", 500 * 2 ** 20],
    ["2g", 2 * 2 ** 30],
    ["2GB", 2 * 2 ** 30],
    ["1GiB", 2 ** 30],
    ["3T", 3 * 2 ** 40],
  ])("%s", async (given, bytes) => {
    const parsed = await parseCommandLine(
      ["node", "x", "pull", "--max-size", given, "app"],
      {},
      { out() {}, err() {} },
    );
    expect(parsed).toMatchObject({ job: { request: { maxSize: bytes } } });
  });

  test.each(["", " ", "x", "-1", "1x", "0x10", "1e3", "1,5g", "1..5g", "5 gigs", "NaN", "Infinity", "1g1m"])(
    "not %j",
    async (given) => {
      const lines: string[] = [];
      const write = (line: string): void => void lines.push(line);
      const argv = ["node", "x", "pull", `--max-size=${given}`, "app"];
      expect(await parseCommandLine(argv, {}, { out: write, err: write })).toEqual({ exitStatus: 2 });
      expect(lines.join("")).toMatch(/--max-size <size>' argument '.*' is invalid. Expected a number of bytes/);
    },
  );

  test("nor of an engine that pulls by itself, nor of a push", async () => {
    const { run } = await workplace();
    expect(told(await run("pull", "--via", "pull", "--max-size", "1g", "app", "true"))).toEqual(
      refused(2, /--max-size cannot be enforced/),
    );
    const pushed = await run("push", "--max-size", "1g", "app", "true");
    expect(pushed).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining("unknown option '--max-size'") as string,
    });
  });
});

type Run = Awaited<ReturnType<typeof workplace>>["run"];

async function pull(run: Run, name: string, limit: number | string, to = "oci:target"): Promise<Ended> {
  return await run(
    "pull",
    "--max-size",
    `${limit}`,
    "--to",
    to,
    "app:v1",
    ...program,
    "push",
    `oci:${join(folder, name)}`,
  );
}

describe.concurrent("what counts is what the missing layers unpack to, together", () => {
  test.each<[string, string, number | string, string?]>([
    ["a normal image, far below", "image", "1g"],
    ["just as much as is allowed", "image", all],
    ["just as much, of plain layers", "plain", all],
    ["a layer that stands in the image twice, once", "twice", twice.layers[0]?.length ?? 0],
    ["into a file", "image", all, "docker-archive:app.tar"],
  ])("taken: %s", async (_, name, limit, to) => {
    const { run } = await workplace();
    const { exitCode, stderr } = await pull(run, name, limit, to);
    expect(stderr).toContain("pulled app:v1");
    expect(exitCode).toBe(0);
  });

  test.each<[string, string, number | string, string?]>([
    ["a byte more than is allowed", "image", all - 1],
    ["a byte more, of plain layers", "plain", all - 1],
    ["each alone would do, both do not", "image", top],
    ["nothing is allowed", "lower", 0],
    ["into a file", "image", all - 1, "docker-archive:app.tar"],
  ])("refused: %s", async (_, name, limit, to) => {
    const { run } = await workplace();
    const words = new RegExp(`refuses this image: its layers are larger than the ${limit} bytes .*\\n.*--max-size`);
    expect(told(await pull(run, name, limit, to))).toEqual(refused(13, words));
  });

  test("a layer that is there counts for nothing", async () => {
    const { run } = await workplace();
    expect((await pull(run, "lower", lowest)).exitCode).toBe(0);
    expect(told(await pull(run, "image", top - 1))).toEqual(refused(13, /larger than/));
    expect(await pull(run, "image", top)).toMatchObject({ exitCode: 0 });
  });

  test("the sending side, when it is the one that was started, is told so too", async () => {
    const { run } = await workplace();
    const line = ["pull", "--max-size", "1k", "--to", "oci:target", "app:v1"];
    const ended = await run("push", `oci:${join(folder, "image")}`, ...program, ...line);
    expect(told(ended)).toEqual(
      refused(13, /the remote side failed: the receiving side refuses this image: .* 1024 bytes/),
    );
  });
});
