/**
 * Runs all tests: the unit tests beside the engine tests, which mostly wait, and which go first where both want the processor. The output of the
 * unit tests comes in one piece. With arguments: `vitest run` with these.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { constants, setPriority } from "node:os";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

const vitest = fileURLToPath(new URL("../node_modules/vitest/vitest.mjs", import.meta.url));

function run(args, stdio) {
  return spawn(process.execPath, [vitest, "run", ...args], { stdio });
}

/** Returns its exit status; 1 for the end by a signal. */
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

const args = process.argv.slice(2);
const runs =
  args.length > 0
    ? [statusOf(run(args, "inherit"))]
    : [statusOf(run(["--project", "engines", "--project", "matrix"], "inherit")), runUnitTests()];
process.exitCode = Math.max(...(await Promise.all(runs)));
