import { createHash } from "node:crypto";
import { createReadStream, existsSync, mkdtempSync, readdirSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { describeExit } from "../../child-process/exit.ts";
import { startProgram } from "../../child-process/start-program.ts";
import { removeFolder } from "../../files/remove-folder.ts";
import { tarEntries } from "../../image/tar/tar-entries.ts";
import { Failure } from "../../output/errors.ts";
import { deadline } from "../../streams/deadline.ts";
import { onLines } from "../../streams/lines.ts";
import type { NodePackage } from "./node-binary.ts";

/** ms for npm to fetch 50 MB. */
const FETCH_TIMEOUT = 10 * 60_000;
const KILL_TIMEOUT = 2000;
/** The binary in the tarball of a package. */
const BINARY = "package/bin/node";

/**
 * Fetches a package with npm, which knows the user's registry and proxy, and passes Node's binary in it to `use`. npm runs no script of a
 * package that it only packs, and the tarball must match the digest in this file.
 */
export async function withNodeOfPackage<T>(
  wanted: NodePackage,
  folder: string,
  signal: AbortSignal,
  use: (binary: AsyncIterable<Buffer>) => Promise<T>,
): Promise<T> {
  // npm would interpret the path of an open folder (/proc/self/fd) as its own.
  const own = mkdtempSync(join(realpathSync(folder), "sent-node-npm-"));
  try {
    await fetchPackage(wanted, own, signal);
    const [name = ""] = readdirSync(own);
    const tarball = join(own, name);
    await compare(wanted, tarball, signal);
    const source = createReadStream(tarball);
    const plain = createGunzip();
    const fed = pipeline(source, plain, { signal }).catch(() => {}); // the tar's reader gets the error
    try {
      for await (const entry of tarEntries(plain, signal)) if (entry.path === BINARY) return await use(entry.chunks());
    } finally {
      await fed;
    }
    throw new Error(`there is no Node in ${wanted.name}`);
  } finally {
    await removeFolder(own);
  }
}

async function fetchPackage({ name, version }: NodePackage, folder: string, signal: AbortSignal): Promise<void> {
  using limit = deadline(FETCH_TIMEOUT, signal);
  const [program, ...before] = npm();
  const options = ["--loglevel=error", "--update-notifier=false", "--ignore-scripts"];
  const child = startProgram(
    program,
    [...before, "pack", `${name}@${version}`, "--pack-destination", folder, ...options],
    { killTimeout: KILL_TIMEOUT },
  );
  const lines: string[] = [];
  onLines(child.stderr, (line) => lines.length < 5 && lines.push(line.replace(/^npm (?:error|ERR!) ?/, "")));
  child.stdout.resume();
  child.stdin.end();
  const stop = (): void => child.kill();
  limit.signal.addEventListener("abort", stop);
  const exit = await child.exit;
  limit.signal.removeEventListener("abort", stop);
  signal.throwIfAborted();
  if (exit.status === 0) return;
  const printed = lines.filter((line) => line.trim() !== "").join(" ");
  throw new Failure("transfer-failed", `npm could not fetch ${name}@${version}: it ${describeExit(exit)}: ${printed}`);
}

/** Returns npm's command: the one next to this Node, otherwise the one in PATH. */
function npm(): [string, ...string[]] {
  const nodeFolder = dirname(realpathSync(process.execPath));
  const script = ["../lib/node_modules", "node_modules"]
    .map((modules) => join(nodeFolder, modules, "npm/bin/npm-cli.js"))
    .find((path) => existsSync(path));
  return script === undefined ? ["npm"] : [process.execPath, script];
}

/** Throws a Failure if the tarball has other content. */
async function compare({ name, version, integrity }: NodePackage, path: string, signal: AbortSignal): Promise<void> {
  const hash = createHash("sha512");
  for await (const chunk of createReadStream(path, { signal })) hash.update(chunk as Buffer);
  if (`sha512-${hash.digest("base64")}` === integrity) return;
  throw new Failure("transfer-failed", `the registry has another ${name}@${version} than this docker-over-ssh expects`);
}
