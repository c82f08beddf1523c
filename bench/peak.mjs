/**
 * For `node --import`: a process that ends notes its peak of resident memory, VmHWM, in kB. Not getrusage's ru_maxrss: that
 * begins with what the process was before its exec, here the benchmark.
 */
import { appendFileSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

process.on("exit", () => {
  const [, kB] = /^VmHWM:\s*(\d+)/m.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
  appendFileSync(join(homedir(), "peaks"), `${kB}\n`);
});
