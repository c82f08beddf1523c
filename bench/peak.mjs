/**
 * For `node --import`: records the peak resident memory (VmHWM) of an ending process, in kB. It does not use getrusage's ru_maxrss, which
 * includes the process before its exec, in this case the benchmark.
 */
import { appendFileSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

process.on("exit", () => {
  const [, kB] = /^VmHWM:\s*(\d+)/m.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
  appendFileSync(join(homedir(), "peaks"), `${kB}\n`);
});
