/** For the test file that imports it: two versions of an image on the near engine, and an `ssh` that counts its runs. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach } from "vitest";
import { buildImage, type LayerSpec } from "../testbed/build-image.ts";
import { bed, why } from "./bed.ts";

export const MB = 1_000_000;
/** The bytes are random, so that they do not compress. */
export const layers: LayerSpec[] = [{ name: "engine-only", bytes: 4 * MB, files: 40 }];
/** Connects to the remote engine alone. */
export const DIAL = ["ssh", "far", "docker", "system", "dial-stdio"];

export let folder: string;
/** Counts the runs of ssh ({@link connections}). */
export let env: Record<string, string>;

beforeAll(async () => {
  if (why) return;
  for (const tag of ["v1", "v2"]) await buildImage(bed.near, `engine-only:${tag}`, layers);
});

/** Other test files count layers that are new to the engines. */
afterAll(async () => {
  if (why) return;
  for (const engine of [bed.near, bed.far]) {
    const { references } = await engine.listing();
    const ours = references.filter((name) => /^(?:engine-only|fetched|only-there)/.test(name));
    if (ours.length > 0) await engine.docker("rmi", "--force", ...ours);
  }
});

/** Puts an `ssh` first in PATH that counts its runs. */
beforeEach(() => {
  if (why) return;
  folder = mkdtempSync(join(tmpdir(), "dos-engine-only-"));
  const log = join(folder, "log");
  writeFileSync(join(folder, "ssh"), `#!/bin/sh\necho run >> ${log}\nexec ${join(bed.bin, "ssh")} "$@"\n`, {
    mode: 0o755,
  });
  env = { PATH: `${folder}:${bed.env["PATH"]}` };
});
afterEach(() => {
  if (!why) rmSync(folder, { recursive: true });
});

/** Returns the number of ssh runs so far. */
export function connections(): number {
  return readFileSync(join(folder, "log"), "utf8").trim().split("\n").length;
}
