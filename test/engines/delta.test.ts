import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildImage, type LayerSpec } from "../testbed/build-image.ts";
import { startTestbed } from "../testbed/start.ts";
import type { Testbed } from "../testbed/testbed.ts";
import { bed, done, dos, rememberEngines, unchanged, why, type Run } from "./bed.ts";

const FILES = 400;
const BYTES = 6_000_000;
/** The bytes are random, so that they do not compress. */
const packages: LayerSpec = { name: "packages", bytes: BYTES, files: FILES };
const base: LayerSpec = { name: "system", bytes: 800_000, files: 20 };
const later = { mtime: 1_700_000_000 };

let containerd: Testbed;

beforeAll(async () => {
  if (why) return;
  containerd = await startTestbed({ near: { kind: "28.5-containerd" }, far: { kind: "28.5-containerd" } });
});

afterAll(async () => await containerd?.[Symbol.asyncDispose]());

describe.skipIf(why).each([
  ["classic stores", () => bed],
  ["containerd stores", () => containerd],
])(`of a missing layer, sends only the pieces that the files of other images lack: %s ${why ?? ""}`, (_, beds) => {
  let changes: () => Promise<unknown>;
  /** The stderr of the last run. */
  let printed: string;

  async function push(image: string, ...options: string[]): Promise<{ run: Run; sent: number }> {
    const wire = await beds().countWire();
    const pull = `docker-over-ssh pull --verbose ${image}`;
    const run = await dos(["push", ...options, image, "ssh", "far", pull], { on: beds() });
    return { run, sent: (await wire()).toFar };
  }

  /** Pushes v1, builds v2 from other layers, pushes it (by delta by default), verifies it, and checks that nothing else is left behind. */
  async function pushNext(name: string, v1: LayerSpec[], v2: LayerSpec[], ...options: string[]): Promise<number> {
    const { near, far } = beds();
    await buildImage(near, `${name}:v1`, v1);
    expect((await push(`${name}:v1`)).run).toEqual(done);
    const id = await buildImage(near, `${name}:v2`, v2);
    changes = await rememberEngines(near, far);
    const { run, sent } = await push(`${name}:v2`, ...(options.length > 0 ? options : ["--delta=always"]));
    expect(run).toEqual(done);
    printed = run.stderr;
    expect((await far.docker("run", "--rm", `${name}:v2`)).stdout).toBe(`${name} v2`);
    if (beds() === bed)
      expect((await far.docker("image", "inspect", "--format", "{{.Id}}", `${name}:v2`)).stdout).toBe(id);
    const [here, there] = (await changes()) as { came: string[]; went: string[] }[];
    expect(here).toEqual({ came: [], went: [] });
    expect(there?.came.filter((listed) => !listed.startsWith(`${name}:`) && !listed.startsWith(`${name}@`))).toEqual(
      [],
    );
    return sent;
  }

  test("with some changed files", async () => {
    const sent = await pushNext("some-files", [base, packages], [base, { ...packages, changedFiles: 10 }]);
    expect(sent).toBeLessThan((10 / FILES) * BYTES + 64_000);
  });

  test("with all files rebuilt, with other times", async () => {
    const sent = await pushNext(
      "rebuilt",
      [base, packages],
      [
        { ...base, ...later },
        { ...packages, ...later },
      ],
    );
    expect(sent).toBeLessThan(0.01 * BYTES + 20_000);
  });

  test("with another base below the same files", async () => {
    const sent = await pushNext("upgraded", [base, packages], [{ ...base, seed: "next" }, packages]);
    expect(sent).toBeLessThan(1.05 * base.bytes + 64_000);
    // A classic store identifies a layer by the layers below it; a containerd store has its blob.
    if (beds() === containerd) expect(printed).toMatch(/sent for 2 layers.*, 2 layers .*already present/);
  });

  test("chooses the faster way for the link, and gives the reason", async () => {
    const version = (seed: string): LayerSpec[] => [{ ...packages, seed }];
    const next = (seed: string): LayerSpec[] => [{ ...packages, seed, ...later }];
    const sent = await pushNext("fast", version("fast"), next("fast"), "--delta=auto", "--verbose");
    const [, way, byDelta, whole] =
      /is sent (by delta|whole): predicted ([\d.]+) s by delta, ([\d.]+) s whole, at /.exec(printed) ?? [];
    // The choice depends on the current speed of this machine.
    expect({ printed, way }).toMatchObject({ way: Number(byDelta) < Number(whole) * 0.9 ? "by delta" : "whole" });
    expect(sent > BYTES).toBe(way === "whole");
    await beds().limitRate(20);
    try {
      expect(await pushNext("slow", version("slow"), next("slow"), "--delta=auto", "--verbose")).toBeLessThan(
        BYTES / 5,
      );
      expect(printed).toMatch(/is sent by delta: predicted /);
    } finally {
      await beds().limitRate(undefined);
    }
  });

  /** Bytes on the wire in addition to layers: the login, messages, manifest and config. */
  const OTHER = 40_000;

  /** Makes a dry run, and returns the bytes that it estimates. */
  async function plan(image: string, ...options: string[]): Promise<{ bytes: number; lines: string[] }> {
    const { near, far } = beds();
    const before = await rememberEngines(near, far);
    const { run, sent } = await push(image, "--dry-run", ...options);
    expect(run).toEqual(done);
    expect(await before()).toEqual(unchanged(2));
    expect(sent).toBeLessThan(1_000_000 + OTHER); // probes, and a recipe
    const lines = run.stderr.split("\n");
    const [, count, unit = ""] = lines.map((line) => /^to send: ~?([\d.]+) (B|kB|MB)/.exec(line)).find(Boolean) ?? [];
    return { bytes: Number(count) * ({ B: 1, kB: 1e3, MB: 1e6 }[unit] ?? NaN), lines };
  }

  test("a dry run changes nothing, and estimates the bytes of a transfer within 15 %", async () => {
    const { near } = beds();
    const fresh = { ...packages, seed: "planned" };
    await buildImage(near, "planned:v1", [base, fresh]);
    const cold = await plan("planned:v1");
    const whole = (await push("planned:v1")).sent;
    expect([cold.bytes * 0.85 < whole, whole < cold.bytes * 1.15 + OTHER], `${cold.bytes}, ${whole}`).toEqual([
      true,
      true,
    ]);
    await buildImage(near, "planned:v2", [base, { ...fresh, changedFiles: 50 }]);
    const next = await plan("planned:v2", "--delta=always");
    expect(next.lines.filter((line) => line.includes("by delta from planned:v1"))).toHaveLength(1);
    const { sent } = await push("planned:v2", "--delta=always");
    expect([next.bytes * 0.85 < sent, sent < next.bytes * 1.15 + OTHER], `${next.bytes}, ${sent}`).toEqual([
      true,
      true,
    ]);
    expect((await plan("planned:v2")).lines).toContain("to send: 0 B");
  });

  test("--no-delta sends layers whole", async () => {
    const whole = { ...packages, seed: "whole" }; // shares no pieces with the layers of the tests above
    const [v1, v2] = [whole, { ...whole, ...later }];
    expect(await pushNext("whole", [v1], [v2], "--no-delta")).toBeGreaterThan(BYTES);
  });
});
