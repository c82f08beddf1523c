import { chmod, lstat, mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { codeCache } from "../../src/code-cache.ts";
import { program } from "./command-line/cli.ts";
import { makeImage } from "./image/make-image.ts";
import { layoutOf, writeTree } from "./command-line/images.ts";

const code = Buffer.from("what V8 has compiled");
let home: string;

beforeEach(async () => void (home = await mkdtemp(join(tmpdir(), "code-cache-"))));
afterEach(async () => await rm(home, { recursive: true }));

const open = (env: NodeJS.ProcessEnv = { HOME: home }) => codeCache("command-push", env);
const tool = (): string => join(home, ".cache/docker-over-ssh");
const folder = (): string => join(tool(), "code");
const file = (): string => join(folder(), "command-push");

/** Writes the code in one run. Returns the code that the next run reads. */
function cached(): string | undefined {
  open()?.write(() => code);
  return open()?.read()?.toString();
}

describe("compiled code is stored for the next run", () => {
  test("in the user's cache folder, which no other user can read", async () => {
    expect(open()?.read()).toBeUndefined();
    expect(cached()).toBe(code.toString());
    for (const path of [tool(), folder()]) expect((await lstat(path)).mode & 0o777).toBe(0o700);
    expect((await lstat(file())).mode & 0o777).toBe(0o600);
    expect(await readdir(folder())).toEqual(["command-push"]);
  });

  test("replacing an older version; the oldest of many files are removed", () => {
    for (let version = 0; version < 20; version++) codeCache(`command-${version}`, { HOME: home })?.write(() => code);
    open()?.write(() => Buffer.from("older"));
    expect(cached()).toBe(code.toString());
    expect(codeCache("command-0", { HOME: home })?.read()).toBeUndefined();
  });

  test("in the folder that XDG_CACHE_HOME names", () => {
    codeCache("one", { HOME: "/nowhere", XDG_CACHE_HOME: home })?.write(() => code);
    expect(existsSync(join(home, "docker-over-ssh/code/one"))).toBe(true);
  });
});

describe("code that another user may have written is not run", () => {
  test.each<[string, () => Promise<void>]>([
    ["others may write to the folder", async () => await chmod(folder(), 0o770)],
    ["others may list the folder", async () => await chmod(folder(), 0o701)],
    ["others may write to the folder above", async () => await chmod(tool(), 0o722)],
    [
      "the folder is a link",
      async () => {
        await rename(folder(), join(home, "elsewhere"));
        await symlink(join(home, "elsewhere"), folder());
      },
    ],
    [
      "the folder above is a link",
      async () => {
        await rename(tool(), join(home, "elsewhere"));
        await symlink(join(home, "elsewhere"), tool());
      },
    ],
    [
      "the file is a link",
      async () => {
        await rename(file(), join(home, "elsewhere"));
        await symlink(join(home, "elsewhere"), file());
      },
    ],
    ["others may write to the file", async () => await chmod(file(), 0o622)],
    ["the file is cut short", async () => await writeFile(file(), (await readFile(file())).subarray(0, -1))],
    ["the file is empty", async () => await writeFile(file(), "")],
    [
      "a byte of the file is changed",
      async () => {
        const bytes = await readFile(file());
        bytes.writeUInt8(bytes.readUInt8(3) ^ 1, 3);
        await writeFile(file(), bytes);
      },
    ],
  ])("%s", async (_, spoil) => {
    expect(cached()).toBe(code.toString());
    await spoil();
    expect(open()?.read()).toBeUndefined();
  });

  test.skipIf(process.getuid?.() !== 0)("it belongs to another user", async () => {
    for (const path of [file, folder, tool]) {
      expect(cached()).toBe(code.toString());
      await execa`chown 12345 ${path()}`;
      expect(open()?.read()).toBeUndefined();
      await execa`chown 0 ${path()}`;
    }
  });
});

describe("without a usable folder, a run continues without a code cache", () => {
  test("NODE_DISABLE_COMPILE_CACHE is set", () => {
    expect(open({ HOME: "/root", NODE_DISABLE_COMPILE_CACHE: "1" })).toBeUndefined();
  });

  test.each<[string, () => Promise<void>]>([
    ["a file has the name of the folder", async () => await writeFile(join(home, ".cache"), "")],
    ["it cannot be created", async () => await symlink("/proc/nowhere", join(home, ".cache"))],
    [
      "others may write to it",
      async () => {
        await mkdir(folder(), { recursive: true });
        await chmod(folder(), 0o777);
      },
    ],
  ])("%s: nothing is compiled for it", async (_, spoil) => {
    await spoil();
    open()?.write(() => expect.fail("this costs 10 ms"));
    expect(open()?.read()).toBeUndefined();
  });

  test("a failed write leaves no file behind", async () => {
    open()?.write(() => {
      throw new Error("no memory");
    });
    expect(await readdir(folder())).toEqual([]);
  });
});

describe("the command", () => {
  const [node = "", script = ""] = program;
  const at = (name: string): string => join(home, name);

  async function transfer(image: string): Promise<{ exitCode?: number | undefined; stderr: string }> {
    const words = ["push", `oci:${image}`, ...program, "pull", "--to", `oci:${at("target")}`, "app:v1"];
    return await execa(node, [script, ...words], { env: { HOME: home, XDG_CACHE_HOME: "" }, reject: false });
  }

  test("stores the code of both sides, and uses it", async () => {
    await writeTree(at("layout"), layoutOf([{ image: await makeImage([400]), ref: "app:v1" }]));
    expect((await transfer(at("layout"))).exitCode).toBe(0);
    const names = (await readdir(folder())).toSorted();
    expect(names).toEqual([expect.stringMatching(/-pull$/), expect.stringMatching(/-push$/)]);
    const states = async () => await Promise.all(names.map(async (name) => (await lstat(join(folder(), name))).ino));
    const before = await states();
    expect((await transfer(at("layout"))).exitCode).toBe(0);
    expect(await states()).toEqual(before); // code that V8 rejects would have been replaced
  });

  test("ignores and replaces code that V8 rejects", async () => {
    await writeTree(at("layout"), layoutOf([{ image: await makeImage([400]), ref: "app:v1" }]));
    await transfer(at("layout"));
    for (const name of await readdir(folder())) {
      codeCache(name, { HOME: home })?.write(() => Buffer.from("not what V8 has compiled"));
    }
    expect((await transfer(at("layout"))).exitCode).toBe(0);
    for (const name of await readdir(folder()))
      expect((await lstat(join(folder(), name))).size).toBeGreaterThan(100_000);
  });

  test("stores nothing when it fails", async () => {
    expect((await transfer(at("nowhere"))).exitCode).toBe(3);
    expect(existsSync(folder())).toBe(false);
  });
});
