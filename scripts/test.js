/**
 * Runs all tests. At the same time as the engine tests, which mostly wait, it runs the unit tests and prints their output at the end, and builds
 * the Docker 29 that some engine tests need. These engine tests run last. Engine tests have the higher priority for the processor. With arguments,
 * runs `vitest run` with these arguments.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { constants, setPriority } from "node:os";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

const inProject = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));

function run(args, stdio) {
  return spawn(process.execPath, [inProject("node_modules/vitest/vitest.mjs"), "run", ...args], { stdio });
}

/** Returns the exit status of a process; 1 if a signal has ended it. */
async function statusOf(child) {
  const [status] = await once(child, "exit");
  return status ?? 1;
}

async function runUnitTests() {
  const child = run(["--project", "unit"], ["ignore", "pipe", "pipe"]);
  setPriority(child.pid, constants.priority.PRIORITY_BELOW_NORMAL);
  const [status, out, errors] = await Promise.all([statusOf(child), text(child.stdout), text(child.stderr)]);
  process.stdout.write(out);
  process.stderr.write(errors);
  return status;
}

function buildDocker29() {
  const child = spawn(process.execPath, ["--import", "tsx", inProject("test/testbed/cli.ts"), "build-29"], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  setPriority(child.pid, constants.priority.PRIORITY_LOW);
}

const args = process.argv.slice(2);
if (args.length === 0) buildDocker29();
const runs =
  args.length > 0
    ? [statusOf(run(args, "inherit"))]
    : [statusOf(run(["--project", "engines", "--project", "matrix"], "inherit")), runUnitTests()];
process.exitCode = Math.max(...(await Promise.all(runs)));
