import { delimiter, join } from "node:path";
import { homeFolder } from "./files/cache-folder.ts";
import type { SetupStep } from "./output/setup-steps.ts";
import { isTooOld, receive, writeLine } from "./remote/script/receive-bundle.ts";
import { installOnHost, NotInstalled } from "./remote/setup/install-on-host.ts";
import { BIN_FOLDER } from "./remote/setup/launcher.ts";

/**
 * The code that runs in the remote side's Node (`node -e`) for `docker-over-ssh setup`: it receives the bundle, checks its digest, and installs
 * it permanently. Compiled for Node 10, like bootstrap.ts.
 *
 * process.argv: this code, `DIGEST:SIZE` of the bundle as in bootstrap.ts, the kind of program, `DIGEST:SIZE` of bundle.json, and the version.
 */
const [, , bundle = "", program = "", facts = "", version = ""] = process.argv;
const [digest = "", size = ""] = bundle.split(":");
const [factsDigest = "", factsSize = ""] = facts.split(":");

function run(): void {
  if (isTooOld(program)) return;
  try {
    const isDone = installOnHost({ version, digest, factsDigest, receive: receiveBoth, onStep }, process.env);
    if (isDone) writeLine(`done ${isInPath() ? "in-path" : ""}`);
  } catch (error) {
    if (!(error instanceof NotInstalled)) throw error;
    writeLine(`not-installed ${error.problem} ${error.about.replaceAll(/\s+/g, " ")}`);
    process.exitCode = 1;
  }
}

function receiveBoth(): { packed: Buffer; facts: Buffer } | undefined {
  const length = Number(size);
  const both = receive(length + Number(factsSize));
  return both && { packed: both.subarray(0, length), facts: both.subarray(length) };
}

function onStep({ did, what, name }: SetupStep): void {
  writeLine(`step ${did} ${what} ${name}`);
}

/** Returns whether the folder was in PATH before the remote script added it at the end. */
function isInPath(): boolean {
  const folder = join(homeFolder(process.env) ?? "", BIN_FOLDER);
  return (process.env["PATH"] ?? "").split(delimiter).filter((entry) => entry === folder).length > 1;
}

run();
