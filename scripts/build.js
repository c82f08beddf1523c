/**
 * Compiles src/ to a fresh dist/, and joins the modules of the command: a process that reads 10 files starts 70 ms earlier than
 * one that reads 190, on either side of a transfer. Who imports the package gets the modules.
 */
import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
rmSync(`${root}dist`, { recursive: true, force: true });
const tsc = fileURLToPath(new URL("../node_modules/typescript/bin/tsc", import.meta.url));
execFileSync(process.execPath, [tsc, "-p", "tsconfig.build.json"], { cwd: root, stdio: ["ignore", 2, 2] });

const { build } = await import("esbuild"); // setup.js, which imports this, may just have installed it
await build({
  entryPoints: [`${root}dist/main.js`],
  outdir: `${root}dist`, // what finds package.json finds it from there, too
  allowOverwrite: true,
  bundle: true,
  splitting: true, // a command loads what it needs, no more
  packages: "external",
  format: "esm",
  platform: "node",
  target: "node20",
  chunkNames: "[name]-[hash]",
  logLevel: "warning",
});
