import { join } from "node:path";
import { expect } from "vitest";
import { BASE } from "../../../test/testbed/build-base.ts";
import { contextIn } from "../fixtures/guard/tenant-cli.ts";
import { guardNames, runOnHost, type Guarded } from "./guarded-engine.ts";

const done = { exitCode: 0 };

/** @param registry a registry to which both tenants may push */
export async function imagesAreIsolated(scene: Guarded, registry: string): Promise<void> {
  const { engine, folder, a, b } = scene;
  const files = contextIn(folder, { Dockerfile: `FROM ${BASE}\nRUN echo of a > /who\nCMD cat /who\n` });
  expect(await a(["build", "-t", "app:v1", files])).toMatchObject(done);
  const id = (await a(["images", "--quiet", "--no-trunc", "app:v1"])).stdout;
  const hostId = (await engine.docker("images", "--quiet", "--no-trunc", "host-secret:v1")).stdout;
  const own = "guard.internal/a/docker.io/library/app:v1";
  // Tenant b may also push to this registry: the refusal is due to the owner of the images.
  const pushable = ["x:v1", "host-secret:v1"].map((name) => `${registry}/${name}`);
  expect(await a(["tag", "app:v1", pushable[0] ?? ""])).toMatchObject(done);
  await engine.docker("tag", "host-secret:v1", pushable[1] ?? "");
  const names = ["app:v1", id, id.slice(7, 19), own, hostId, "host-secret:v1", BASE, ...pushable];
  const notTheirs = /No such image|names of guard\.internal are the guard's own/;
  const noContainer = /\/containers\/create is not allowed here/;
  for (const name of names) {
    const tries = [
      [["inspect", "--type", "image", name], notTheirs],
      [["history", name], notTheirs],
      [["tag", name, "mine:v1"], notTheirs],
      [["rmi", name], notTheirs],
      [["save", "--output", join(folder, "stolen.tar"), name], notTheirs],
      [["push", name], name === id || name === hostId ? /is an image ID, not a name/ : notTheirs],
      [["run", "--rm", name], noContainer],
      [["create", name], noContainer],
    ] as const;
    const checks = tries.map(async ([words, sentence]) => {
      const { exitCode, stderr } = await b(words);
      expect({ words, exitCode }).toEqual({ words, exitCode: exitCode === 0 ? "refused" : exitCode });
      expect({ words, stderr }).toEqual({ words, stderr: expect.stringMatching(sentence) as string });
    });
    await Promise.all(checks);
  }
  for (const name of ["x", "host-secret"])
    expect((await fetch(`http://${registry}/v2/${name}/tags/list`)).status).toBe(404);
  await engine.docker("rmi", pushable[1] ?? "");
  expect((await b(["images", "--all", "--quiet"])).stdout).toBe("");
  const overwriting = contextIn(folder, { Dockerfile: `FROM ${BASE}\nRUN echo of b > /who\nCMD cat /who\n` });
  expect(await b(["build", "-t", "app:v1", "-t", "host-secret:v1", overwriting])).toMatchObject(done);
  expect(await runOnHost(scene, "a", "app:v1")).toBe("of a");
  expect((await engine.docker("images", "--quiet", "--no-trunc", "host-secret:v1")).stdout).toBe(hostId);
  await a(["rmi", "app:v1", pushable[0] ?? ""]);
  await b(["rmi", "app:v1", "host-secret:v1"]);
  expect(await guardNames(engine)).toEqual([]);
}
