import {
  chmod,
  chown,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { newRunId } from "../../../src/run/run-id.ts";
import { cacheFolder } from "../../../src/files/cache-folder.ts";
import { openPrivateFolder } from "../../../src/files/private-folder.ts";
import { removeFolder } from "../../../src/files/remove-folder.ts";
import { digestOf } from "../../../src/image/digest.ts";
import { ResumeCache } from "../../../src/store/resume-cache.ts";
import { openSpool } from "../../../src/run/spool.ts";
import { removeDeadSpools } from "../../../src/run/spool-folder.ts";

let shared: string;
beforeEach(async () => {
  shared = await mkdtemp(join(tmpdir(), "own-folder-"));
  await chmod(shared, 0o1777);
});
afterEach(async () => await rm(shared, { recursive: true }));

const at = (...names: string[]): string => join(shared, ...names);
const env = (): NodeJS.ProcessEnv => ({ XDG_CACHE_HOME: shared });
const resumeCache = () => new ResumeCache({ env: env(), runId: newRunId() });
const blob = { mediaType: "x", digest: digestOf("layer"), size: 10 };
const isRoot = process.getuid?.() === 0;
if (!isRoot) console.log("skipped: only root can give a folder to another user");

describe("does not use a cache folder that another user may change:", () => {
  test.each<[string, string, () => Promise<unknown>]>([
    ...(isRoot
      ? ([
          [
            "created by another user",
            "belongs to another user (12345)",
            async () => {
              await mkdir(at("docker-over-ssh"));
              await chown(at("docker-over-ssh"), 12345, 12345);
            },
          ],
        ] as [string, string, () => Promise<unknown>][])
      : []),
    [
      "writable by others",
      "others may write to",
      async () => {
        await mkdir(at("docker-over-ssh"));
        await chmod(at("docker-over-ssh"), 0o770);
      },
    ],
    [
      "a link",
      "is a link",
      async () => {
        await mkdir(at("elsewhere"), { mode: 0o700 });
        await symlink(at("elsewhere"), at("docker-over-ssh"));
      },
    ],
    ["no folder", "EEXIST", async () => await writeFile(at("docker-over-ssh"), "")],
  ])("%s", async (_, why, make) => {
    await make();
    const spool = openSpool(env(), newRunId());
    await expect(spool).rejects.toMatchObject({ code: "no-space", message: expect.stringContaining(why) as string });
    // The resume cache only helps the next run: the transfer continues without it.
    await using layers = resumeCache();
    expect(await layers.take(blob)).toBeUndefined();
    expect(await readdir(shared, { recursive: true })).not.toContainEqual(expect.stringMatching(/spool|kept/));
  });
});

test.skipIf(process.platform !== "linux")("does not write to a folder that replaces the opened folder", async () => {
  await using spool = await openSpool(env(), newRunId());
  await using layers = resumeCache();
  const file = await layers.take(blob);
  await rename(at("docker-over-ssh"), at("moved"));
  await mkdir(at("docker-over-ssh", "kept"), { recursive: true });
  for (const name of await readdir(at("moved"))) await mkdir(at("docker-over-ssh", name), { recursive: true });
  await writeFile(spool.pathFor("layer"), "bytes");
  expect(await readFile(spool.pathFor("layer"), "utf8")).toBe("bytes");
  await file?.remove();
  expect(await readdir(at("docker-over-ssh"), { recursive: true })).not.toContainEqual(expect.stringMatching("layer"));
  expect(await readdir(at("moved", "kept"))).toEqual([]);
});

test("opens and checks a replacement that belongs to this user", async () => {
  const first = openPrivateFolder(at("mine"), { make: true });
  await writeFile(join(first, "one"), "");
  await rename(at("mine"), at("old"));
  await writeFile(join(openPrivateFolder(at("mine"), { make: true }), "two"), "");
  expect([await readdir(at("old")), await readdir(at("mine"))]).toEqual([["one"], ["two"]]);
  await chmod(at("mine"), 0o777);
  expect(() => openPrivateFolder(at("mine"), { make: true })).toThrow("others may write to");
});

test("follows no links when it removes a dead run's folder", async () => {
  await mkdir(at("private"));
  await writeFile(at("private", "file"), "mine");
  const dead = `spool-${newRunId(999_999_999)}-AAAAAA`; // no process has that number: Linux ends at 4 million
  await mkdir(at("docker-over-ssh", dead), { recursive: true, mode: 0o700 });
  await symlink(at("private"), at("docker-over-ssh", dead, "link"));
  await symlink(at("private"), at("docker-over-ssh", dead.replace(/A+$/, "BBBBBB")));
  await removeDeadSpools(env());
  expect(await readFile(at("private", "file"), "utf8")).toBe("mine");
  await expect(lstat(at("docker-over-ssh", dead))).rejects.toThrow("ENOENT");
});

test("removes a folder that contains only files, and keeps a folder with subfolders", async () => {
  await mkdir(at("flat"));
  await writeFile(at("flat", "file"), "");
  await removeFolder(at("flat"));
  await mkdir(at("deep", "folder"), { recursive: true });
  await writeFile(at("deep", "folder", "file"), "");
  await removeFolder(at("deep"));
  expect((await readdir(shared, { recursive: true })).toSorted()).toEqual(["deep", "deep/folder", "deep/folder/file"]);
});

describe("the cache folder", () => {
  const fromUserDatabase = join(userInfo().homedir, ".cache/docker-over-ssh");
  test.each<[NodeJS.ProcessEnv, string]>([
    [{ HOME: "/home/me" }, "/home/me/.cache/docker-over-ssh"],
    [{ HOME: "/home/me", XDG_CACHE_HOME: "/var/cache/me" }, "/var/cache/me/docker-over-ssh"],
    [{ HOME: "/home/me", XDG_CACHE_HOME: "cache" }, "/home/me/.cache/docker-over-ssh"],
    [{ HOME: "/home/me", XDG_CACHE_HOME: "" }, "/home/me/.cache/docker-over-ssh"],
    [{ HOME: "" }, fromUserDatabase],
    [{ HOME: "home" }, fromUserDatabase],
    [{}, fromUserDatabase],
  ])("%j: %s", (given, expected) => expect(cacheFolder(given)).toBe(expected));
});
