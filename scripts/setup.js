/** Prepares a fresh clone: installs the dependencies of the lock file if they are out of date, then builds. */
import { execFileSync } from "node:child_process";
import { statSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const changedAt = (path) => statSync(`${root}${path}`, { throwIfNoEntry: false })?.mtimeMs ?? 0;

// npm writes this file at the end of every install.
if (changedAt("node_modules/.package-lock.json") < changedAt("package-lock.json")) {
  console.error("docker-over-ssh: installing dependencies (npm ci)");
  execFileSync("npm", ["ci", "--no-audit", "--no-fund"], {
    cwd: root,
    stdio: ["ignore", 2, 2],
    shell: process.platform === "win32",
  });
}
await import("./build.js");
