import { mkdtemp, readdir, rm, statfs, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { newRunId } from "../../../src/run/run-id.ts";
import { lazySpool, lazySpoolIn, openSpool, refuseWithoutSpoolSpace } from "../../../src/run/spool.ts";
import { layerFailure } from "../../../src/store/layer-failure.ts";

vi.mock(import("node:fs/promises"), async (original) => {
  const real = await original();
  return { ...real, statfs: vi.fn<typeof real.statfs>(real.statfs) as typeof real.statfs };
});

let folder: string;
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), "spool-test-"))));
afterEach(async () => await rm(folder, { recursive: true }));
const at = (...names: string[]): string => join(folder, "docker-over-ssh", ...names);

test("creates one folder in XDG_CACHE_HOME when a file is needed, and removes it with its files", async () => {
  const spool = lazySpool({ XDG_CACHE_HOME: folder, TMPDIR: "/nowhere" }, newRunId());
  expect(await readdir(folder)).toEqual([]);
  const [first, second] = await Promise.all([spool.open(), spool.open()]);
  expect(first).toBe(second);
  await writeFile(first.pathFor("layer"), "bytes");
  expect(await readdir(at(), { recursive: true })).toContainEqual(expect.stringMatching(/^spool-.+\/layer$/));
  await spool[Symbol.asyncDispose]();
  expect(await readdir(at())).toEqual([]);
});

test("names the variable that determines the folder if there is no space, or no folder", async () => {
  await using spool = await openSpool({ XDG_CACHE_HOME: folder }, newRunId());
  const full = layerFailure(Object.assign(new Error("write ENOSPC"), { code: "ENOSPC" }), "sent");
  const failures = [
    async () => await refuseWithoutSpoolSpace(spool, 2 ** 60),
    async () => await Promise.reject(full),
    async () => await lazySpoolIn(undefined, newRunId()).open(),
  ];
  for (const failure of failures) {
    await expect(failure()).rejects.toMatchObject({
      code: "no-space",
      hint: expect.stringContaining("XDG_CACHE_HOME") as string,
      expected: expect.not.stringMatching("TMPDIR") as string,
    });
  }
});

test("accepts a layer if the file system does not report its free bytes", async () => {
  await using spool = await openSpool({ XDG_CACHE_HOME: folder }, newRunId());
  // Some file systems of FUSE report a size of zero blocks.
  vi.mocked(statfs).mockResolvedValueOnce({ type: 0, bsize: 4096, blocks: 0, bfree: 0, bavail: 0, files: 0, ffree: 0 });
  await expect(refuseWithoutSpoolSpace(spool, 1000)).resolves.toBeUndefined();
});
