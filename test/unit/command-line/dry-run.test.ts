/** --dry-run between layouts and archives: its output, and that it changes nothing. */
import { mkdir, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { configFor, plain, type TestImage } from "../image/make-image.ts";
import { makeTar, type TestEntry } from "../image/tar/make-tar.ts";
import { pseudoRandomBytes } from "../pseudo-random.ts";
import { folder, program, run } from "./cli.ts";
import { layoutOf, readTree, writeTree } from "./images.ts";

const at = (name: string): string => join(folder, name);
const FILE = 30_000;
const FILES = 40;

/** Builds an image of a base layer and a layer of files, half random and half text; `changed` files differ. */
async function build({ time = 1, changed = 0 } = {}): Promise<TestImage> {
  const files: TestEntry[] = Array.from({ length: FILES }, (_, index) => {
    const random = pseudoRandomBytes(FILE / 2, index < changed ? 1000 + index : index);
    const text = Buffer.from(`line ${index} of the text of a file\n`.repeat(FILE)).subarray(0, FILE / 2);
    return { name: `app/files/${index}`, content: Buffer.concat([random, text]), mtime: time, uid: 0 };
  });
  const base = { name: "base", content: pseudoRandomBytes(50_000, 5000), mtime: time };
  const layers = [await makeTar([base]), await makeTar(files)];
  return { layers, ...configFor(layers) };
}

beforeAll(async () => {
  const [v1, v2] = [await build(), await build({ time: 2, changed: 2 })];
  const v3 = await build({ time: 2, changed: 3 });
  await writeTree(at("v1"), layoutOf([{ image: v1, ref: "app:v1" }]));
  await writeTree(at("v2"), layoutOf([{ image: v2, ref: "app:v2" }]));
  await writeTree(at("v3"), layoutOf([{ image: v3, ref: "app:v3" }]));
  await writeTree(at("v2-plain"), layoutOf([{ image: v2, ref: "app:v2" }], plain));
});

const own = (cache: string): string[] => ["env", `XDG_CACHE_HOME=${at(cache)}`];

/** Pulls `app:v1` or `app:v2` out of a layout into another one. Returns the printed lines, and the number of bytes that passed through the pipe. */
async function pull(from: string, to: string, ...options: string[]): Promise<{ lines: string[]; sent: number }> {
  const wire = at(`wire-${from}-${to}${options.join("")}`);
  const push = [...own(`${to}-sender`), ...program, "push", `oci:${from}`];
  const pipe = ["sh", "-c", `"$@" | tee "$0"`, wire];
  const { exitCode, stderr } = await run(
    "pull",
    ...options,
    "--to",
    `oci:${to}`,
    `app:${from.slice(0, 2)}`,
    ...pipe,
    ...push,
  );
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
  return { lines: stderr.split("\n"), sent: (await stat(wire)).size };
}

/** Returns the bytes in a line, e.g. in `~1.2 MB`. */
function bytesIn(line: string): number {
  const [, count, unit = ""] = /([\d.]+) (B|kB|MB)\b/.exec(line) ?? [];
  return Number(count) * ({ B: 1, kB: 1e3, MB: 1e6 }[unit] ?? NaN);
}

const lineWith = (lines: string[], words: string): string => lines.find((line) => line.includes(words)) ?? "";
/** The plan's layers, without their diff IDs and sizes. */
const waysIn = (lines: string[]): string[] =>
  lines.flatMap((line) => /^ {2}layer [0-9a-f]{12}: (~?)[\d.]+ .?B (.*)$/.exec(line)?.slice(1).join("") ?? []);

/** Bytes of messages, manifest and config. */
const OTHER = 15_000;

/** Expects that a transfer sends what was planned, within 15 %. */
function expectAsPlanned(lines: string[], sent: number): void {
  const planned = bytesIn(lineWith(lines, "to send"));
  expect(sent).toBeGreaterThan(planned * 0.85);
  expect(sent).toBeLessThan(planned * 1.15 + OTHER);
}

// Each pull starts two programs, and some tests run three pulls.
describe("--dry-run predicts a transfer, and changes nothing", { timeout: 60_000 }, () => {
  test("compressed layers are sent whole: their bytes are exact", async () => {
    await mkdir(at("empty"));
    const { lines } = await pull("v2", "empty", "--dry-run");
    expect(await readdir(at("empty"))).toEqual([]);
    expect(waysIn(lines)).toEqual(["whole", "whole"]);
    const layers = [...(await readTree(at("v2")))].map(([, bytes]) => bytes.length).toSorted((a, b) => b - a);
    expect(lineWith(lines, "to send")).toMatch(/^to send: \d/);
    expect(bytesIn(lineWith(lines, "to send"))).toBeCloseTo(Number(layers[0]) + Number(layers[1]), -3);
    expect(lineWith(lines, "app:v2")).toBe("docker.io/library/app:v2 for linux/amd64: 0 of 2 layers already present");
    expect(lineWith(lines, "receiver:")).toBe(
      "receiver: an OCI layout; remote side: docker-over-ssh, started by the command",
    );
    expect(lineWith(lines, "disk of the target")).toMatch(/: at least [\d.]+ kB needed, [\d.]+ .B free$/);
    expect(lines.at(-1)).toMatch(/^a dry run: nothing was sent/);
  });

  test("layers that are packed for the transfer: their bytes are an estimate", async () => {
    const { lines, sent } = await pull("v2-plain", "packed", "--dry-run");
    expect(sent).toBeLessThan(1_000_000); // probes
    expect(waysIn(lines)).toEqual(["~whole", "~whole"]);
    expectAsPlanned(lines, (await pull("v2-plain", "packed")).sent);
  });

  test("the target has an older version: predicts a layer by delta", async () => {
    await pull("v1", "older");
    const before = await readTree(at("older"));
    const plan = await pull("v2", "older", "--delta=always", "--dry-run");
    expect(await readTree(at("older"))).toEqual(before);
    expect(waysIn(plan.lines)).toEqual(["whole", "~by delta from docker.io/library/app:v1"]);
    expectAsPlanned(plan.lines, (await pull("v2", "older", "--delta=always")).sent);
  });

  test("the target has the same image: nothing is sent", async () => {
    await pull("v2", "same");
    const { lines, sent } = await pull("v2", "same", "--dry-run");
    expect(lineWith(lines, "app:v2")).toMatch(/: 2 of 2 layers already present$/);
    expect(lineWith(lines, "to send")).toBe("to send: 0 B");
    expect(sent).toBeLessThan(OTHER);
  });

  test("with push, into an archive that does not exist", async () => {
    const line = [...own("push-receiver"), ...program, "pull", "--to", "docker-archive:none.tar", "app:v2"];
    const { exitCode, stderr } = await run("push", "--dry-run", "oci:v2", ...line);
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
    expect(waysIn(stderr.split("\n"))).toEqual(["whole", "whole"]);
    expect(await readdir(folder)).not.toContain("none.tar");
  });

  test("several images: prints a plan of each, and creates nothing", async () => {
    const line = [...own("several-receiver"), ...program, "pull", "--to", "oci:several-to", "app:v1", "app:v2", "--"];
    const { exitCode, stderr } = await run("push", "--dry-run", "oci:v1:app:v1", "oci:v2:app:v2", "--", ...line);
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
    expect(
      stderr.match(/^docker\.io\/library\/app:v[12] for linux\/amd64: 0 of 2 layers already present$/gm),
    ).toHaveLength(2);
    expect(stderr.match(/a dry run {2}nothing sent/g)).toHaveLength(2);
    expect(await readdir(folder)).not.toContain("several-to");
  });

  test("several images: counts a shared layer once, because it is sent once", async () => {
    const line = [...own("shared-receiver"), ...program, "pull", "--to", "oci:shared-to", "app:v2", "app:v3", "--"];
    const { exitCode, stderr } = await run("push", "--dry-run", "oci:v2:app:v2", "oci:v3:app:v3", "--", ...line);
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
    expect(stderr).toMatch(/^docker\.io\/library\/app:v2 for linux\/amd64: 0 of 2 layers already present$/m);
    expect(stderr).toMatch(/^docker\.io\/library\/app:v3 for linux\/amd64: 1 of 2 layers already present$/m);
  });

  test("exits with the status of a refusal", async () => {
    const line = [...own("small"), ...program, "push", "oci:v2"];
    const pulling = ["pull", "--dry-run", "--max-size", "1k", "--to", "oci:small-to", "app:v2"];
    expect(await run(...pulling, ...line)).toMatchObject({ exitCode: 13 });
    const absent = [...own("absent"), ...program, "push", "oci:v4"];
    expect(await run("pull", "--dry-run", "--to", "oci:absent-to", "app:v4", ...absent)).toMatchObject({ exitCode: 3 });
  });

  test("leaves no files in the cache folder", async () => {
    await pull("v2", "no-cache", "--dry-run", "--delta=always");
    // `code` is V8's compiled code of this program, which each run stores.
    const names = await readdir(at("no-cache-sender/docker-over-ssh"));
    expect(names.filter((name) => name !== "code")).toEqual([]);
  });
});
