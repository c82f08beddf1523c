import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openCgroupFiles } from "../../../../src/guard/buildah/cgroup-files.ts";
import { temporaryFolder } from "../sockets/socket-bed.ts";

/** Writes files of the kernel to a plain folder. */
function write(root: string, files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(root, name, ".."), { recursive: true });
    writeFileSync(join(root, name), text);
  }
}

test("v1: a program enters each hierarchy that has the cgroup and whose processors are set", async () => {
  await using folder = await temporaryFolder();
  const { path: root } = folder;
  write(root, {
    "cpu/a/cgroup.procs": "",
    "memory/a/cgroup.procs": "",
    "memory/a/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    "cpuset/a/cgroup.procs": "",
    "cpuset/a/cpuset.cpus": "\n",
    "pids/cgroup.procs": "",
  });
  await using opened = await openCgroupFiles("/a", "call", root);
  expect([...opened.files].toSorted()).toEqual([join(root, "cpu/a/cgroup.procs"), join(root, "memory/a/cgroup.procs")]);
  expect(opened.ranOutOfMemory()).toBe(false);
  write(root, { "memory/a/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n" });
  expect(opened.ranOutOfMemory()).toBe(true);
});

test("v2: a call gets a child of the cgroup, which is removed at its end", async () => {
  await using folder = await temporaryFolder();
  const { path: root } = folder;
  write(root, { "cgroup.controllers": "memory", "a.slice/a-b.slice/cgroup.procs": "" });
  const child = join(root, "a.slice/a-b.slice/buildah-call");
  {
    await using opened = await openCgroupFiles("a-b.slice", "call", root);
    expect(opened.files).toEqual([join(child, "cgroup.procs")]);
    expect(opened.ranOutOfMemory()).toBe(false);
    write(child, { "memory.events": "oom 1\noom_kill 1\n" });
    expect(opened.ranOutOfMemory()).toBe(true);
    rmSync(join(child, "memory.events")); // the kernel removes its files with the folder
  }
  expect(existsSync(child)).toBe(false);
});

test.each([
  ["/missing", { "memory/cgroup.procs": "" }],
  ["/missing", { "cgroup.controllers": "memory" }],
  ["/a/../b", { "memory/b/cgroup.procs": "" }],
])("refuses a build if its cgroup is not available: %s", async (parent, files) => {
  await using folder = await temporaryFolder();
  write(folder.path, files);
  await expect(openCgroupFiles(parent, "call", folder.path)).rejects.toMatchObject({
    rule: "cgroup.unavailable",
    message: expect.stringContaining(`the cgroup ${parent} of this tenant`) as string,
  });
});
