/** The options --compress and --bwlimit: the packing of plain layers for the transfer, and the limit of the rate. */
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import * as zlib from "node:zlib";
import { describe, expect, test } from "vitest";
import { configFor, plain } from "../image/make-image.ts";
import { makeTar } from "../image/tar/make-tar.ts";
import { pseudoRandom } from "../pseudo-random.ts";
import { folder, program, run } from "./cli.ts";
import { layoutOf, look, whole, writeTree } from "./images.ts";

const at = (name: string): string => join(folder, name);

/** Words in random order: each codec and level compresses them to another size. */
const random = pseudoRandom(7);
const content = Array.from({ length: 60_000 }, () => `word${Math.floor(random() ** 3 * 2000)} `).join("");
const layers = [await makeTar([{ name: "words", content }])];
const image = { layers, ...configFor(layers) };
const [layer = Buffer.alloc(0)] = layers;
await writeTree(at("plain"), layoutOf([{ image, ref: "app:v1" }], plain));
await writeTree(at("gzip"), layoutOf([{ image, ref: "app:v1" }]));

/** The maximum number of bytes that the tunnel adds. */
const TALK = 4000;
const gzipOf = (level: number): number => zlib.gzipSync(layer, { level }).length;
const brotliOf = (quality: number): number =>
  zlib.brotliCompressSync(layer, { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: quality } }).length;

let count = 0;
/** Pushes with these options on either side, and verifies the target. Returns the number of bytes sent. */
async function push(source: string, own: string[], theirs: string[] = []): Promise<number> {
  count += 1;
  const [wire, to] = [at(`sent-${count}`), `to-${count}`];
  // Separate cache folders, because concurrent runs would share received layers.
  const cache = `XDG_CACHE_HOME=${at(`cache-${count}`)}`;
  const line = ["env", cache, ...program, "pull", ...theirs, "--to", `oci:${to}`, "app:v1"];
  const { exitCode, stderr } = await run("push", ...own, source, "sh", "-c", `tee "$0" | "$@"`, wire, ...line);
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
  expect(await look("oci", at(to), "app:v1")).toEqual(whole(image));
  return (await stat(wire)).size;
}

const compress = (how?: string): string[] => (how === undefined ? [] : ["--compress", how]);

describe.concurrent("packs a plain layer with the codec that --compress selects on either side; the sender's option has priority", () => {
  test.each<[string | undefined, string | undefined, number]>([
    ["none", undefined, layer.length],
    ["gzip:1", undefined, gzipOf(1)],
    ["gzip:9", undefined, gzipOf(9)],
    ["brotli", undefined, brotliOf(2)],
    [undefined, "none", layer.length],
    [undefined, "gzip:9", gzipOf(9)],
    ["gzip:1", "gzip:9", gzipOf(1)],
    ["none", "gzip:9", layer.length],
  ])("sender: %s, receiver: %s", async (own, theirs, size) => {
    const sent = await push("oci:plain", compress(own), compress(theirs));
    expect(sent).toBeGreaterThanOrEqual(size * 0.98);
    expect(sent).toBeLessThan(size * 1.02 + TALK);
  });

  test("without --compress, uses the best codec that both sides have", async () => {
    for (const how of [undefined, "auto"])
      expect(await push("oci:plain", compress(how))).toBeLessThan(layer.length / 2);
  });

  test("sends a compressed layer as it is stored", async () => {
    for (const how of ["none", "gzip:9"]) {
      const sent = await push("oci:gzip", compress(how));
      expect(sent).toBeGreaterThan(zlib.gzipSync(layer).length);
      expect(sent).toBeLessThan(zlib.gzipSync(layer).length + TALK);
    }
  });
});

test("applies the option of a receiver that is the initiator", async () => {
  const line = ["sh", "-c", `"$@" | tee "$0"`, at("received"), ...program, "push", "oci:plain"];
  const { exitCode } = await run("pull", "--compress", "none", "--to", "oci:wished", "app:v1", ...line);
  expect(exitCode).toBe(0);
  expect((await stat(at("received"))).size).toBeGreaterThan(layer.length);
});

describe("--bwlimit on the sender, on the receiver, and on both", () => {
  test.each([
    [["--bwlimit", "20m"], []],
    [[], ["--bwlimit", "20m"]],
    [
      ["--bwlimit", "20m"],
      ["--bwlimit", "20m"],
    ],
    [["--bwlimit", "0"], []],
  ])("%j, %j", async (own, theirs) => expect(await push("oci:plain", own, theirs)).toBeGreaterThan(0));

  test("a failure of the remote side ends the run with its own status", async () => {
    const { exitCode, stderr } = await run("push", "--bwlimit", "1k", "oci:plain", ...program, "pull", "app:v1");
    expect(stderr).toContain("nowhere.sock");
    expect(exitCode).toBe(4);
    const gone = await run("push", "--bwlimit", "1k", "oci:plain", "sh", "-c", "echo no; exit 3");
    expect(gone.stderr).toContain("ended with status 3");
    expect(gone.exitCode).toBe(7);
  });
});

describe.runIf(!("zstdCompressSync" in zlib))("zstd in a Node without zstd: an error before the command starts", () => {
  test.each(["push", "pull"])("%s", async (verb) => {
    const line = verb === "push" ? ["oci:plain"] : ["--to", "oci:zstd", "app:v1"];
    const { exitCode, stderr } = await run(verb, "--compress", "zstd", ...line, "sh", "-c", "touch started");
    expect(stderr).toMatch(
      /--compress zstd: the (sending|receiving) side has no zstd\n.*Node 22.15.*\n.*brotli or auto/,
    );
    expect(exitCode).toBe(2);
    await expect(readFile(at("started"))).rejects.toThrow("ENOENT");
  });

  test("on the spawned side: the initiator reports the error", async () => {
    const sender = ["push", "--compress", "zstd:3", "oci:plain"];
    const pulled = await run("pull", "--to", "oci:zstd", "app:v1", ...program, ...sender);
    expect(pulled.stderr).toContain("--compress zstd:3: neither side has zstd");
    const receiver = ["pull", "--compress", "zstd", "--to", "oci:zstd", "app:v1"];
    const pushed = await run("push", "oci:plain", ...program, ...receiver);
    expect(pushed.stderr).toContain("--compress zstd: neither side has zstd");
    expect([pulled.exitCode, pushed.exitCode]).toEqual([2, 2]);
  });
});

describe.concurrent("rejects --compress where it has no effect, before the command starts", () => {
  const dial = ["sh", "-c", "touch started", "system", "dial-stdio"];
  test.each<[string[], RegExp]>([
    [
      ["push", "--compress", "gzip", "--registry", "container", "app", "true"],
      /with a registry that the engine pushes/,
    ],
    [["push", "--compress", "none", "--registry", "localhost:5000", "app", "true"], /with a registry that the engine/],
    [["pull", "--compress", "none", "--via", "pull", "app", "true"], /no effect with --via pull/],
    [["push", "--compress", "brotli:5", "oci:plain:app:v1", ...dial], /brotli:5 needs .* accepts only gzip/],
    [["push", "--compress", "zstd", "oci:plain:app:v1", ...dial], /zstd needs .* accepts only gzip/],
    [["pull", "--compress", "gzip", "app", ...dial], /gzip needs .* sends layers as it stores them/],
  ])("%j", async (words, message) => {
    const { exitCode, stderr } = await run(...words);
    expect(stderr).toMatch(message);
    expect(exitCode).toBe(2);
    await expect(readFile(at("started"))).rejects.toThrow("ENOENT");
  });
});
