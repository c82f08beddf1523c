/** For the test file that imports it: a second pair of engines, both with containerd stores, and a folder. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll } from "vitest";
import { startTestbed } from "../testbed/start.ts";
import type { Testbed } from "../testbed/testbed.ts";
import { why } from "./bed.ts";

export let containerd: Testbed;
let folder: string;
export const at = (name: string): string => join(folder, name);

beforeAll(async () => {
  if (why) return;
  containerd = await startTestbed({ near: { kind: "28.5-containerd" }, far: { kind: "26.1-containerd" } });
  folder = mkdtempSync(join(tmpdir(), "dos-containerd-"));
});

afterAll(async () => {
  await containerd?.[Symbol.asyncDispose]();
  if (!why) rmSync(folder, { recursive: true });
});
