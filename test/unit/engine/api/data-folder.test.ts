import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { dataFolder } from "../../../../src/engine/api/data-folder.ts";

const folder = await mkdtemp(join(tmpdir(), "data-folder-"));
await writeFile(join(folder, "engine-id"), "3f0a\n");
afterAll(async () => await rm(folder, { recursive: true }));

/** Some machines that run the tests are containers themselves. */
const isMarked = existsSync("/.dockerenv") || existsSync("/run/.containerenv");

test("the folder with the engine's ID belongs to the engine, wherever this process runs", () => {
  expect(dataFolder({ DockerRootDir: folder, ID: "3f0a", Name: "another" }, false)).toBe(folder);
});

test("without a readable ID, a machine with the same name has the folder, unless this process runs in a container", () => {
  const found = dataFolder({ DockerRootDir: "/var/lib/none", ID: "3f0a", Name: hostname() }, false);
  expect(found).toBe(isMarked ? undefined : "/var/lib/none");
  expect(dataFolder({ DockerRootDir: "/var/lib/none", ID: "3f0a", Name: "docker-desktop" }, false)).toBeUndefined();
});

test("the images of a containerd store are in the folder only if dockerd has started containerd", () => {
  const at = (Address: string) => dataFolder({ DockerRootDir: folder, ID: "3f0a", Containerd: { Address } }, true);
  expect(at("/var/run/docker/containerd/containerd.sock")).toBe(folder);
  expect(at("/run/containerd/containerd.sock")).toBeUndefined();
});

test("an engine that reports no folder, or a relative one, has an unknown folder", () => {
  expect(dataFolder({ Name: hostname() }, false)).toBeUndefined();
  expect(dataFolder({ DockerRootDir: "etc", Name: hostname() }, false)).toBeUndefined();
});
