/** `pull --max-size`: its values, the sizes that it limits, and its error. */
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parseCommandLine } from "../../../src/cli.ts";
import { makeImage, plain } from "../image/make-image.ts";
import { layoutOf, writeTree } from "../command-line/images.ts";
import { outcome, refused, folder, program, makeWorkspace, type ProgramRun } from "./run-program.ts";

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
    expect(parsed).toMatchObject({ job: { batch: { remotes: [{ transfers: [{ maxSize: bytes }] }] } } });
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

  test("are rejected with --via pull, and for a push", async () => {
    const { run } = await makeWorkspace();
    expect(outcome(await run("pull", "--via", "pull", "--max-size", "1g", "app", "true"))).toEqual(
      refused(2, /--max-size cannot be enforced/),
    );
    const pushed = await run("push", "--max-size", "1g", "app", "true");
    expect(pushed).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining("unknown option '--max-size'") as string,
    });
  });
});

type Run = Awaited<ReturnType<typeof makeWorkspace>>["run"];

async function pull(run: Run, name: string, limit: number | string, to = "oci:target"): Promise<ProgramRun> {
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

describe.concurrent("limits the total uncompressed size of the missing layers:", () => {
  test.each<[string, string, number | string, string?]>([
    ["a small image", "image", "1g"],
    ["as much as is allowed", "image", all],
    ["as much, of plain layers", "plain", all],
    ["a layer that occurs twice in the image, once", "twice", twice.layers[0]?.length ?? 0],
    ["into a file", "image", all, "docker-archive:app.tar"],
  ])("accepts %s", async (_, name, limit, to) => {
    const { run } = await makeWorkspace();
    const { exitCode, stderr } = await pull(run, name, limit, to);
    expect(stderr).toContain("pulled app:v1");
    expect(exitCode).toBe(0);
  });

  test.each<[string, string, number | string, string?]>([
    ["a byte more than is allowed", "image", all - 1],
    ["a byte more, of plain layers", "plain", all - 1],
    ["two layers together", "image", top],
    ["nothing is allowed", "lower", 0],
    ["into a file", "image", all - 1, "docker-archive:app.tar"],
  ])("rejects %s", async (_, name, limit, to) => {
    const { run } = await makeWorkspace();
    const message = new RegExp(`refuses this image: its layers are larger than the ${limit} bytes .*\\n.*--max-size`);
    expect(outcome(await pull(run, name, limit, to))).toEqual(refused(13, message));
  });

  test("does not count present layers", async () => {
    const { run } = await makeWorkspace();
    expect((await pull(run, "lower", lowest)).exitCode).toBe(0);
    expect(outcome(await pull(run, "image", top - 1))).toEqual(refused(13, /larger than/));
    expect(await pull(run, "image", top)).toMatchObject({ exitCode: 0 });
  });

  test("a sender that is the initiator also reports the error", async () => {
    const { run } = await makeWorkspace();
    const line = ["pull", "--max-size", "1k", "--to", "oci:target", "app:v1"];
    const ended = await run("push", `oci:${join(folder, "image")}`, ...program, ...line);
    expect(outcome(ended)).toEqual(
      refused(13, /the remote side failed: the receiving side refuses this image: .* 1024 bytes/),
    );
  });
});
