/** A process that receives two signals. */
import { execFileSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { expect, test } from "vitest";
import { folder, program, settings } from "./command-line/cli.ts";
import { makeImage } from "./image/make-image.ts";
import { layoutOf, writeTree } from "./command-line/images.ts";

await writeTree(join(folder, "layout"), layoutOf([{ image: await makeImage([100]), ref: "app:v1" }]));

/** Blocks a thread for ever once the command handles signals, as opening a FIFO does. */
const BLOCKED = `
  const { open } = require("node:fs");
  const block = () => {
    if (process.listenerCount("SIGINT") === 0) return void setTimeout(block, 5);
    open(process.env.FIFO, "r", () => {});
    process.stderr.write("blocked");
  };
  if (process.env.FIFO) block();`;

test.skipIf(process.platform === "win32").each(["SIGINT", "SIGTERM", "SIGHUP"] as const)(
  "the second %s ends the process, even while one of its threads is blocked",
  async (signal) => {
    const [fifo, hook] = [join(folder, `fifo-${signal}`), join(folder, `hook-${signal}.cjs`)];
    execFileSync("mkfifo", [fifo]);
    await writeFile(hook, BLOCKED);
    const [node, script] = program as [string, string];
    const silent = ["env", "FIFO=", node, "--eval", "setInterval(() => {}, 1000)"];
    const run = execa(node, [script, "push", "oci:layout", ...silent], {
      ...settings,
      env: { ...settings.env, FIFO: fifo, NODE_OPTIONS: `--require ${hook}` },
      stdin: "ignore",
    });
    let said = "";
    run.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()));
    try {
      await expect.poll(() => said).toContain("blocked");
      // Repeats until the process is gone: the second signal may arrive while the first is handled, or at the exit.
      await expect.poll(() => !run.kill(signal)).toBe(true);
      expect((await run).signal).toBe(signal);
    } finally {
      run.kill("SIGKILL");
    }
  },
);
