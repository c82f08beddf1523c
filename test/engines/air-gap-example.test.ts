import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildImage, type LayerSpec } from "../testbed/build-image.ts";
import type { Testbed } from "../testbed/testbed.ts";
import { isInHaveSchema } from "../unit/have/have-schema.ts";
import { bed, dos, rememberEngines, why } from "./bed.ts";
import { containerd } from "./containerd-pair.ts";

const BYTES = 3_000_000;
const FILES = 200;
/** Layers of this file alone: the engines may still have the layers of other test files. */
const system: LayerSpec = { name: "gap-system", bytes: 800_000, files: 20 };
const packages: LayerSpec = { name: "gap-packages", bytes: BYTES, files: FILES };
/** The same files with another time; ten of them have changed. */
const rebuilt: LayerSpec = { ...packages, changedFiles: 10, mtime: 1_700_000_000 };

const stick = mkdtempSync(join(tmpdir(), "dos-stick-"));
const onStick = (name: string): string => join(stick, name);
afterAll(() => rmSync(stick, { recursive: true }));

const script = (name: string): string => join(import.meta.dirname, "../../examples/air-gap", name);

describe.skipIf(why).each([
  ["classic stores", () => bed],
  ["containerd stores", () => containerd],
])(`examples/air-gap: %s ${why ?? ""}`, (kind, on: () => Testbed) => {
  const name = `gap-${kind.split(" ")[0]}`;
  const have = onStick(`${name}.json`);
  const part = onStick(`${name}-v2.part.tar`);
  /** Runs a command on the far machine, which receives nothing but the stick. */
  const onFar = async (...words: string[]) =>
    await execa("ssh", ["far", ...words], { env: on().env, reject: false, stdin: "ignore" });

  beforeAll(async () => {
    if (why) return;
    await buildImage(on().near, `${name}:v1`, [system, packages]);
    expect(
      await dos(["push", `${name}:v1`, "ssh", "far", `docker-over-ssh pull ${name}:v1`], { on: on() }),
    ).toMatchObject({
      exitCode: 0,
    });
    await buildImage(on().near, `${name}:v2`, [system, rebuilt]);
  });

  afterAll(async () => {
    if (why) return;
    rmSync(part, { force: true }); // load-missing.sh takes all archives of the stick
    await on().near.docker("rmi", `${name}:v1`, `${name}:v2`);
    await on().far.docker("rmi", "--force", `${name}:v1`, `${name}:v2`);
  });

  test("list prints the same list on the host and from the near machine, and changes nothing", async () => {
    const changes = await rememberEngines(on().near, on().far);
    const { stdout } = await onFar("docker-over-ssh", "list");
    const { exitCode, stdout: fromHere } = await dos(["list", "ssh://far"], { on: on() });
    expect(exitCode).toBe(0);
    const list = JSON.parse(fromHere) as { layers: object[]; images: { names: string[] }[] };
    expect(isInHaveSchema(list)).toBe(true);
    expect(list.images.flatMap(({ names }) => names)).toContain(`${name}:v1`);
    expect(list.layers.filter((layer) => "absent" in layer)).toEqual([]);
    expect(JSON.parse(stdout)).toMatchObject({ layers: list.layers, images: list.images });
    expect(await changes()).toMatchObject([
      { came: [], went: [] },
      { came: [], went: [] },
    ]);
  });

  test("a partial archive of the missing layers, by delta, completes the image; docker load rejects it", async () => {
    await onFar(`docker-over-ssh list > ${have}`);
    const changes = await rememberEngines(on().near);
    const { stderr } = await execa(script("save-missing.sh"), [have, stick, `${name}:v2`], { env: on().env });
    expect(stderr).toMatch(/pushed \S+: .* for 2 layers \(.* rebuilt from files there\), 2 layers already present/);
    expect(await changes()).toMatchObject([{ came: [], went: [] }]);
    expect(statSync(part).size).toBeLessThan((10 / FILES) * BYTES + 64_000);

    const loaded = await onFar("docker", "load", "--input", part);
    expect(loaded.exitCode).not.toBe(0);
    expect((await on().far.docker("image", "ls", "--quiet", `${name}:v2`)).stdout).toBe("");

    const pulled = await onFar(script("load-missing.sh"), stick);
    expect(pulled).toMatchObject({
      exitCode: 0,
      stderr: expect.stringMatching(/2 layers .*already present/) as string,
    });
    expect((await on().far.docker("run", "--rm", `${name}:v2`)).stdout).toBe(`${name} v2`);
    const ids = [on().near, on().far].map(
      async (engine) =>
        (await engine.docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", `${name}:v2`)).stdout,
    );
    expect(new Set(await Promise.all(ids)).size).toBe(1);
  });

  test("if the engine has lost the layers since, the load fails, names the missing layers, and says how to continue", async () => {
    await on().far.docker("rmi", "--force", `${name}:v1`, `${name}:v2`);
    const changes = await rememberEngines(on().far);
    const { exitCode, stderr } = await onFar(script("load-missing.sh"), stick);
    // The engine may still have the base layer, which all test images share.
    expect(stderr).toMatch(/is a partial archive, without [12] layers? that .* or no longer has: sha256:\w{64}[,\n]/);
    expect(stderr).toContain("Create a new list of that engine (docker-over-ssh list > have.json)");
    expect(exitCode).toBe(3);
    expect(await changes()).toMatchObject([{ came: [], went: [] }]);
  });
});
