import { beforeAll, describe, expect, test } from "vitest";
import { buildImage } from "../testbed/build-image.ts";
import { bed, done, dos, why } from "./bed.ts";
import { connections, DIAL, env, layers, MB } from "./engine-only-images.ts";

const names = ["a", "b", "c"].map((name) => `engine-only-${name}:v1`);
/** The bytes are random, so that they do not compress. */
const SHARED = 6 * MB;
const OWN = 1 * MB;

/** The layers of three images: one that the far engine gets in the first test, one that they share, and one of each image. */
beforeAll(async () => {
  if (why) return;
  for (const name of names) {
    await buildImage(bed.near, name, [
      ...layers,
      { name: "shared", bytes: SHARED, files: 10 },
      { name: "own", bytes: OWN, files: 10, seed: name },
    ]);
  }
});

/** The fields of the results of --json that the tests use. */
function resultsIn(stdout: string): { image: string; id: string; layersSent: number; bytesSent: number }[] {
  const events = stdout.split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line) as { type: string }]));
  return events.filter(({ type }) => type === "result") as never;
}

async function removeAll(): Promise<void> {
  await bed.far.docker("rmi", "--force", ...names);
}

describe.skipIf(why)("several images", () => {
  test("push: uses one login, and sends a shared layer once", async () => {
    expect(await dos(["push", "--no-delta", "engine-only:v1", "ssh://far"])).toEqual(done); // busybox, and the layer of all
    const run = await dos(["push", "--json", "--no-delta", ...names, "ssh://far"], { env });
    expect(run).toMatchObject({ exitCode: 0 });
    const results = resultsIn(run.stdout);
    expect(results.map(({ image, layersSent }) => [image, layersSent])).toEqual(
      names.map((name, index) => [name, index === 0 ? 3 : 2]),
    );
    const bytes = results.reduce((sum, { bytesSent }) => sum + bytesSent, 0);
    expect(bytes).toBeLessThan(1.05 * (SHARED + 3 * OWN));
    expect(connections()).toBe(1);
    for (const { image, id } of results)
      expect((await bed.far.docker("inspect", "-f", "{{.Id}}", image)).stdout).toBe(id);
  });

  test.each([
    ["to an engine alone", DIAL],
    ["to a docker-over-ssh that the command names", ["ssh", "far", "docker-over-ssh pull"]],
  ])("push: %s; a missing image does not stop the others", async (_, command) => {
    await removeAll();
    const [a = "", b = ""] = names;
    const run = await dos(["push", a, "engine-only-missing:v1", b, "--", ...command], { env });
    expect(run).toMatchObject({ exitCode: 3 });
    expect(run.stderr).toMatch(/^engine-only-missing:v1 +failed: image-not-found$/m);
    expect(run.stderr).toMatch(new RegExp(`^${b} +done +[\\d.]+ .*B sent`, "m"));
    expect(run.stderr).toContain("1 of 3 images was not transferred");
    expect((await bed.far.listing()).references).toEqual(expect.arrayContaining([a, b]));
    expect(connections()).toBe(1);
  });

  test.each(["ssh://far", "ssh://bare"])("pull from %s", async (host) => {
    const [a = "", b = ""] = names;
    await bed.near.docker("rmi", a, b);
    const run = await dos(["pull", a, b, host], { env });
    expect(run).toEqual(done);
    expect((await bed.near.listing()).references).toEqual(expect.arrayContaining([a, b]));
    expect(connections()).toBe(1);
  });
});
