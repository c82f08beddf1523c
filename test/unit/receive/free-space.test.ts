import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import type { About } from "../../../src/conversation/messages.ts";
import { freeBytes } from "../../../src/files/free-bytes.ts";
import { digestOf } from "../../../src/image/digest.ts";
import {
  refuseWithoutSpace,
  spaceForFiles,
  spaceInCache,
  spaceInEngine,
  type DiskSpace,
} from "../../../src/receive/free-space.ts";

const folder = await mkdtemp(join(tmpdir(), "room-"));
afterAll(async () => await rm(folder, { recursive: true }));

const [low, top] = ["low", "top"].map((name) => digestOf(Buffer.from(name)));
const diffIds = [low ?? "", top ?? "", low ?? ""];
const sized: About = { diffIds, platform: { os: "linux", architecture: "amd64" }, sizes: [1000, 2000, 1000] };
const unsized: About = { diffIds, platform: sized.platform };
const info = { version: "28.5.2", apiVersion: "1.51", store: "graphdriver", platform: sized.platform } as const;
const free =
  (bytes: number, isLimit = true) =>
  async () => ({ bytes, isLimit });

/** Returns whether the spaces are refused. */
function isRefused(...spaces: DiskSpace[]): boolean {
  try {
    refuseWithoutSpace(spaces);
    return false;
  } catch (error) {
    expect(error).toMatchObject({ code: "no-space" });
    return true;
  }
}

test("counts a layer that occurs twice once", async () => {
  expect(await spaceInEngine({ about: sized, info: { ...info, dataFolder: "/data" } }, diffIds, free(5000))).toEqual({
    disk: "engine",
    needed: 3000,
    free: 5000,
    isLimit: true,
  });
});

test("does not guess the free space of an inaccessible disk, or sizes that are not known early", async () => {
  expect(await spaceInEngine({ about: sized, info }, diffIds, free(1))).toEqual({ disk: "engine", needed: 3000 });
  const unknown = await spaceInEngine({ about: unsized, info: { ...info, dataFolder: "/data" } }, diffIds, free(1));
  expect(unknown).toEqual({ disk: "engine", free: 1, isLimit: true });
  expect(isRefused({ disk: "engine", needed: 3000 }, unknown)).toBe(false);
});

test("rejects an image only if it certainly does not fit", () => {
  expect(isRefused({ disk: "engine", needed: 3000, free: 2600, isLimit: true })).toBe(true);
  // In some stores, headers and padding of a tar take no space.
  expect(isRefused({ disk: "engine", needed: 3000, free: 2800, isLimit: true })).toBe(false);
  // btrfs and zfs may compress the written data.
  expect(isRefused({ disk: "engine", needed: 3000, free: 10, isLimit: false })).toBe(false);
});

test("counts files that are stored for the next run as free space of the cache folder", async () => {
  const kept = join(folder, "docker-over-ssh/kept");
  await mkdir(kept, { recursive: true });
  await writeFile(join(kept, "a".repeat(64)), Buffer.alloc(1_000_000, 1));
  const space = await spaceInCache({ about: sized, env: { XDG_CACHE_HOME: folder } }, diffIds, free(1000));
  expect(space.free).toBeGreaterThanOrEqual(1_000_000);
  expect(isRefused(space)).toBe(false);
});

test("requires space for a layout on its own disk, also before its folder exists, and in the cache folder", async () => {
  const options = { about: sized, env: { XDG_CACHE_HOME: folder } };
  const spaces = await spaceForFiles(join(folder, "new/layout"), options, diffIds);
  expect(spaces.map(({ disk, needed }) => [disk, needed])).toEqual([
    ["target", 3000],
    ["cache", 3000],
  ]);
  expect(spaces.every((space) => (space.free ?? 0) > 3000)).toBe(true);
});

test("returns no free bytes for a folder that does not exist", async () => {
  expect(await freeBytes(join(folder, "none"))).toBeUndefined();
  expect((await freeBytes(folder))?.bytes).toBeGreaterThan(0);
});
