import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildImage, type LayerSpec } from "../testbed/build-image.ts";
import { bed, done, dos, why } from "./bed.ts";

const layer: LayerSpec = { name: "names", bytes: 200_000, files: 10 };
const VERSIONS = ["v1", "v2", "v3", "v4"];

beforeAll(async () => {
  if (why) return;
  for (const [index, tag] of VERSIONS.entries()) {
    await buildImage(bed.near, `names:${tag}`, [{ ...layer, changedFiles: index }]);
  }
});

afterAll(async () => {
  if (why) return;
  for (const engine of [bed.near, bed.far]) await engine.docker("rmi", "--force", ...(await namesOn(engine)));
});

async function namesOn(engine: typeof bed.far): Promise<string[]> {
  return (await engine.listing()).references
    .filter((name) => /^(?:names|kept-[a-z]+|localhost:5000\/names):/.test(name))
    .toSorted();
}

describe.skipIf(why).each([
  ["docker-over-ssh on the host", "ssh://far", "kept-there"],
  ["an engine alone", "ssh://bare", "kept-alone"],
])(`to %s ${why ?? ""}`, (_, host, repository) => {
  test("an image that is named by its ID gets all names; --run runs on the host, and its status becomes the exit status", async () => {
    const { stdout: id } = await bed.near.docker("image", "inspect", "--format", "{{.Id}}", "names:v1");
    const names = ["--as", `${repository}:x1`, "--as", "localhost:5000/names:x1", "--tag-also", "latest"];
    const command = `docker image inspect --format "at {{.Id}}" ${repository}:latest && exit 9`;
    const run = await dos(["push", ...names, "--run", command, id.slice("sha256:".length, 20), host]);
    expect(run).toMatchObject({ exitCode: 9 });
    expect(run.stderr).toContain(`as ${repository}:x1, localhost:5000/names:x1, ${repository}:latest: `);
    expect(run.stderr).toContain(`remote: at ${id}\n`);
    for (const name of [`${repository}:x1`, "localhost:5000/names:x1", `${repository}:latest`]) {
      expect((await bed.far.docker("image", "inspect", "--format", "{{.Id}}", name)).stdout).toBe(id);
    }
    await bed.far.docker("rmi", `${repository}:x1`, "localhost:5000/names:x1", `${repository}:latest`);
  });

  test("--keep 2 leaves the image, the one before it, and one that a container uses", async () => {
    const push = async (tag: string, ...options: string[]) =>
      await dos([
        "push",
        "--keep",
        "2",
        "--tag-also",
        "latest",
        ...options,
        "--as",
        `${repository}:${tag}`,
        `names:${tag}`,
        host,
      ]);
    expect(await push("v1")).toEqual(done);
    const { stdout: container } = await bed.far.docker("create", `${repository}:v1`);
    for (const tag of ["v2", "v3"]) {
      const run = await push(tag);
      expect(run).toEqual(done);
      expect(run.stderr).not.toContain("removed");
    }
    const planned = await push("v4", "--dry-run");
    expect(planned.stderr).toMatch(new RegExp(`; --keep would remove ${repository}:v2$`, "m"));
    const run = await push("v4");
    expect(run).toEqual(done);
    expect(run.stderr).toMatch(new RegExp(`; removed ${repository}:v2 there( \\(.* freed\\))?$`, "m"));
    const left = (await namesOn(bed.far)).filter((name) => name.startsWith(repository));
    expect(left).toEqual(["latest", "v1", "v3", "v4"].map((tag) => `${repository}:${tag}`));
    await bed.far.docker("rm", container);
  });
});
