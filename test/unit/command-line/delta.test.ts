/** Layers sent by delta between layouts and archives. */
import { rename, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { configFor, plain, type TestImage } from "../image/make-image.ts";
import { makeTar, type TestEntry } from "../image/tar/make-tar.ts";
import { pseudoRandomBytes } from "../pseudo-random.ts";
import { folder, program, run } from "./cli.ts";
import { layoutOf, look, readTree, whole, writeTar, writeTree } from "./images.ts";

const at = (name: string): string => join(folder, name);
const FILE = 30_000;
const FILES = 40;
/** The bytes of a file in the large layer. The layer is larger than everything else that is sent. */
const LARGE = 220_000;

/** Builds an image of a base layer and a layer of incompressible files; `changed` files differ, `chown` adds a layer with another owner. */
async function build({ time = 1, changed = 0, size = FILE, chown = false } = {}): Promise<TestImage> {
  const files = (uid: number): TestEntry[] =>
    Array.from({ length: FILES }, (_, index) => {
      const content = pseudoRandomBytes(size, index < changed ? 1000 + index : index);
      return { name: `app/files/${index}`, content, mtime: time, uid };
    });
  const base = { name: "base", content: pseudoRandomBytes(50_000, 5000), mtime: time };
  const layers = [await makeTar([base]), await makeTar(files(0)), ...(chown ? [await makeTar(files(7))] : [])];
  return { layers, ...configFor(layers) };
}

let v1: TestImage;
let v2: TestImage;
let owned: TestImage;

beforeAll(async () => {
  [v1, v2, owned] = [
    await build(),
    await build({ time: 2, changed: 2 }),
    await build({ changed: FILES, size: LARGE, chown: true }),
  ];
  await writeTree(at("v1"), layoutOf([{ image: v1, ref: "app:v1" }]));
  await writeTree(at("v2"), layoutOf([{ image: v2, ref: "app:v2" }]));
  await writeTree(at("owned"), layoutOf([{ image: owned, ref: "app:v3" }], plain));
  await writeTar(at("v1.tar"), layoutOf([{ image: v1 }], plain));
});

/**
 * Pushes, and returns the number of bytes sent. Uses --delta=always, unless --no-delta is given, because the prediction for a local pipe is
 * that whole layers are faster.
 */
async function push(
  from: string,
  to: string,
  name: string,
  ...options: string[]
): Promise<{ sent: number; stderr: string }> {
  const wire = at(`wire-${to.replaceAll(/\W/g, "-")}-${name}`);
  const cache = `XDG_CACHE_HOME=${wire}-cache`;
  const delta = options.includes("--no-delta") ? [] : ["--delta=always"];
  const line = ["env", cache, ...program, "pull", ...delta, ...options, "--to", to, `app:${name}`];
  const { exitCode, stderr } = await run("push", "--verbose", from, "sh", "-c", `tee "$0" | "$@"`, wire, ...line);
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
  return { sent: (await stat(wire)).size, stderr };
}

/** The maximum bytes of two changed files, and of the headers and keys of the other files. */
const FEW = 3 * FILE;

describe.concurrent("sends only the changed files of a new version", () => {
  test.each(["oci", "oci-archive", "docker-archive"] as const)("into an %s that has the old version", async (kind) => {
    const to = `${kind}:kept-${kind}`;
    await push("oci:v1", to, "v1");
    const { sent, stderr } = await push("oci:v2", to, "v2");
    expect(sent).toBeLessThan(FEW + 50_000);
    expect(stderr).toMatch(/rebuilt from files there/);
    expect(await look(kind, at(`kept-${kind}`), "app:v2")).toEqual(whole(v2));
    if (kind === "oci") expect(await look(kind, at(`kept-${kind}`), "app:v1")).toEqual(whole(v1));
  });

  test("with --delta=always on the sender", async () => {
    await push("oci:v1", "oci:either", "v1");
    const own = ["env", `XDG_CACHE_HOME=${at("either-cache")}`];
    const line = ["push", "--delta=always", "oci:v2", ...own, ...program, "pull", "--to", "oci:either", "app:v2"];
    const { exitCode, stderr } = await run(...line);
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
    expect(stderr).toMatch(/rebuilt from files there/);
  });

  test("on a slow link, without --delta", async () => {
    await push("oci:v1", "oci:slow", "v1");
    // A separate cache folder, because the run would resume a partial layer of another test, and predict nothing.
    const own = ["env", `XDG_CACHE_HOME=${at("slow-cache")}`];
    const pull = ["pull", "--verbose", "--bwlimit=1m", "--to", "oci:slow", "app:v2"];
    const { exitCode, stderr } = await run("push", "oci:v2", ...own, ...program, ...pull);
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
    expect(stderr).toMatch(/layer [0-9a-f]{12} is sent by delta: predicted [\d.]+ s by delta, [\d.]+ s whole, at /);
    expect(stderr).toMatch(/rebuilt from files there/);
  });

  test("but with --no-delta, the whole layer", async () => {
    await push("oci:v1", "oci:told", "v1");
    const { sent } = await push("oci:v2", "oci:told", "v2", "--no-delta");
    expect(sent).toBeGreaterThan(FILES * FILE);
  });

  test("and no content of a second layer in the same transfer that has the same files with another owner", async () => {
    await push("oci:v1", "oci:owned-to", "v1");
    const { sent } = await push("oci:owned", "oci:owned-to", "v3");
    expect(sent).toBeGreaterThan(FILES * LARGE);
    expect(sent).toBeLessThan(FILES * LARGE * 1.1);
    expect(await look("oci", at("owned-to"), "app:v3")).toEqual(whole(owned));
  });
});

describe.concurrent("--verbose prints why a layer is sent whole", () => {
  const details = async (from: string, name: string, first: string, ...options: string[]): Promise<string[]> => {
    const to = `oci:why-${first}-${name}${options.join("")}`;
    if (first !== "") await push(`oci:${first}`, to, first);
    const { stderr } = await push(from, to, name, "--verbose", ...options);
    return stderr
      .split("\n")
      .filter((line) => line.includes("whole"))
      .map((line) => line.replace(/ \d+\.\d\d s:/, ""))
      .toSorted();
  };
  const asked = "docker-over-ssh: missing layers are sent whole: the receiver wants whole layers";

  test("it is small, and a larger layer is sent by delta", async () => {
    expect(await details("oci:v2", "v2", "v1")).toEqual([
      expect.stringMatching(/^docker-over-ssh: layer [0-9a-f]{12} is sent whole: it is small \(5\d.* kB\)$/),
    ]);
  });

  test("the target has no similar image", async () => {
    expect(await details("oci:v1", "v1", "")).toEqual([
      asked,
      "remote: docker-over-ssh: missing layers are sent whole: there is no similar image",
    ]);
  });

  test("--no-delta is given", async () => {
    expect(await details("oci:v2", "v2", "v1", "--no-delta")).toEqual([
      asked,
      "remote: docker-over-ssh: missing layers are sent whole: --delta never was given",
    ]);
  });

  test("--preserve-digest is given", async () => {
    expect(await details("oci:v2", "v2", "v1", "--preserve-digest")).toEqual([
      "docker-over-ssh: missing layers are sent whole: --preserve-digest sends layers as they are stored",
      "remote: docker-over-ssh: missing layers are sent whole: --preserve-digest sends layers as they are stored",
    ]);
  });
});

describe.concurrent("a target without a usable delta base", () => {
  test("a layout with a damaged layer: the new image is complete, the damaged blob stays", async () => {
    await push("oci:v1", "oci:damaged", "v1");
    const blobs = await readTree(at("damaged"));
    const [largest] = [...blobs].toSorted(([, a], [, b]) => b.length - a.length);
    const path = join(at("damaged"), largest?.[0] ?? "");
    await writeFile(path, Buffer.alloc(largest?.[1].length ?? 0, 1));
    await push("oci:v2", "oci:damaged", "v2");
    const { configDigest, diffIds } = whole(v2);
    const faults = [expect.stringContaining(path.slice(-64)) as string];
    expect(await look("oci", at("damaged"), "app:v2")).toEqual({ configDigest, diffIds, faults });
  });

  test("a file that is not an archive: it is replaced", async () => {
    await writeFile(at("no.tar"), "no archive");
    await push("oci:v2", "docker-archive:no.tar", "v2");
    expect(await look("docker-archive", at("no.tar"), "app:v2")).toEqual(whole(v2));
  });

  test("a truncated archive: it is replaced", async () => {
    await rename(at("v1.tar"), at("short.tar"));
    await truncate(at("short.tar"), 600_000);
    await push("oci:v2", "oci-archive:short.tar", "v2");
    expect(await look("oci-archive", at("short.tar"), "app:v2")).toEqual(whole(v2));
  });
});
