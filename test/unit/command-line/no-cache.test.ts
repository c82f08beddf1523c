/** A side whose cache folder is unusable or full continues without it if possible. Otherwise, the error gives the reason. */
import { chmod, chown, mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { configFor, plain } from "../image/make-image.ts";
import { makeTar } from "../image/tar/make-tar.ts";
import { pseudoRandomBytes } from "../pseudo-random.ts";
import { folder, program, run } from "./cli.ts";
import { layoutOf, look, whole, writeTree } from "./images.ts";

const at = (name: string): string => join(folder, name);

async function build(changed: number) {
  const content = (index: number): Buffer => pseudoRandomBytes(40_000, index < changed ? 1000 + index : index);
  const files = Array.from({ length: 30 }, (_, index) => ({ name: `app/${index}`, content: content(index) }));
  const layers = [await makeTar([{ name: "base", content: pseudoRandomBytes(50_000, 5000) }]), await makeTar(files)];
  return { layers, ...configFor(layers) };
}

const [v1, v2] = [await build(0), await build(2)];
await writeTree(at("v1"), layoutOf([{ image: v1, ref: "app:v1" }], plain));
await writeTree(at("v2"), layoutOf([{ image: v2, ref: "app:v2" }], plain));

/** Returns the command `docker-over-ssh WORDS…` with its own cache folder. */
const withCache = (cache: string, ...words: string[]): string[] => [
  "env",
  `XDG_CACHE_HOME=${at(cache)}`,
  ...program,
  ...words,
];
const without = "v1/index.json"; // a folder cannot be created in a file

describe("the sending side", () => {
  test("needs no cache folder to send whole layers", async () => {
    const push = withCache(without, "push", "oci:v1");
    const { exitCode, stderr } = await run("pull", "--to", "oci:plain", "app:v1", ...push);
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
    expect(stderr).not.toContain("warning");
    expect(await look("oci", at("plain"), "app:v1")).toEqual(whole(v1));
  });

  test("sends layers whole instead of by delta, with one warning", async () => {
    expect((await run("pull", "--to", "oci:cut", "app:v1", ...program, "push", "oci:v1")).exitCode).toBe(0);
    const push = withCache(without, "push", "oci:v2");
    const { exitCode, stderr } = await run("pull", "--to", "oci:cut", "app:v2", ...push);
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
    expect(stderr.match(/there is no room for files: .*cannot create a folder/g)).toHaveLength(1);
    expect(await look("oci", at("cut"), "app:v2")).toEqual(whole(v2));
  });

  test.skipIf(process.platform === "win32")("sends a layer whole if the disk fills up while it is cut", async () => {
    expect((await run("pull", "--to", "oci:full", "app:v1", ...program, "push", "oci:v1")).exitCode).toBe(0);
    // This is like a quota, but needs no root: no file of this process can exceed 512 kB.
    const push = ["sh", "-c", 'ulimit -f 1000; exec "$@"', "sh", ...withCache("small", "push", "oci:v2")];
    const { exitCode, stderr } = await run("pull", "--delta=always", "--to", "oci:full", "app:v2", ...push);
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
    expect(stderr).toContain("no space left");
    expect(await look("oci", at("full"), "app:v2")).toEqual(whole(v2));
    expect(await readdir(at("small/docker-over-ssh"))).toEqual(["code"]);
  });
});

describe("a receiver with a layout as target exits with status 11 if the cache folder", () => {
  test.each<[string, string, string, () => Promise<unknown>]>([
    ["cannot be created", "cannot create a folder for layers", "file", async () => await writeFile(at("file"), "")],
    [
      "is writable by other users",
      "others may write to",
      "open",
      async () => {
        await mkdir(at("open/docker-over-ssh"), { recursive: true });
        await chmod(at("open/docker-over-ssh"), 0o777);
      },
    ],
    ...(process.getuid?.() === 0
      ? ([
          [
            "belongs to another user",
            "belongs to another user",
            "theirs",
            async () => {
              await mkdir(at("theirs/docker-over-ssh"), { recursive: true });
              await chown(at("theirs/docker-over-ssh"), 12345, 12345);
            },
          ],
        ] as [string, string, string, () => Promise<unknown>][])
      : []),
  ])("%s", async (_, why, cache, make) => {
    await make();
    const pull = withCache(cache, "pull", "--to", `oci:into-${cache}`, "app:v1");
    const { exitCode, stderr } = await run("push", "oci:v1", ...pull);
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 11 });
    expect(stderr).toContain(why);
    expect(stderr).toContain("XDG_CACHE_HOME");
  });
});

test("ignores a relative XDG_CACHE_HOME", async () => {
  const env = ["env", "XDG_CACHE_HOME=relative", `HOME=${at("home")}`];
  const { exitCode } = await run("push", "oci:v1", ...env, ...program, "pull", "--to", "oci:relatively", "app:v1");
  expect(exitCode).toBe(0);
  expect(await readdir(folder)).not.toContain("relative");
  expect(await readdir(at("home/.cache/docker-over-ssh"))).toEqual(["code"]);
});
