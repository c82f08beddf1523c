import { constants, fstatSync, type Stats } from "node:fs";
import { access, lstat, readlink, stat } from "node:fs/promises";
import { dirname, isAbsolute, sep } from "node:path";
import type { FileLocation } from "../../image/location.ts";
import { Failure } from "../../output/errors.ts";
import { refuseName, refuseUnwritable } from "./refuse-location.ts";

/** The file or stream to which an archive is written. */
export type Destination =
  /** A file that may exist, and is not a link. */
  | { kind: "file"; path: string }
  /** The archive is streamed. */
  | { kind: "stdout" }
  | { kind: "pipe"; path: string };

/** The maximum number of consecutive links that are followed, which is that of Linux. */
const MAX_LINKS = 40;

/**
 * Resolves the location of an archive. `-` is stdout. Archives are streamed to a pipe. A link is followed even if its target does not
 * exist, as in skopeo (`docker save --output` rejects links). Throws a `usage` Failure, before anything is requested, if no archive can be
 * written there.
 *
 * @param stdoutIsTunnel true on the spawned side, whose stdout carries the tunnel
 */
export async function findDestination(location: FileLocation, stdoutIsTunnel: boolean): Promise<Destination> {
  const { path } = location;
  if (path === "-") return stdoutIsTunnel ? refuseTunnel(location) : stdout(location);
  refuseName(location);
  const found = await statOf(location);
  if (found?.isDirectory() === true) {
    throw new Failure("usage", `${path} is a folder`, {
      expected: `a file, because of ${location.given}, or nothing`,
      hint: `For a folder: --to oci:${path}`,
    });
  }
  // Also if stdout is a file: its content is preserved, and other programs may append to it (`>>`).
  if (found !== undefined && !isDevice(found) && isStdout(found)) {
    return stdoutIsTunnel ? refuseTunnel(location) : stdout(location);
  }
  if (found !== undefined && !found.isFile()) {
    if (found.isFIFO()) {
      await refuseReadOnlyPipe(location);
      return { kind: "pipe", path };
    }
    throw new Failure("usage", `${path} is a ${found.isSocket() ? "socket" : "device"}, not a file`, {
      expected: `a file or a pipe, because of ${location.given}, or nothing`,
      hint: "Name a file, or - for stdout.",
    });
  }
  const file = await linkTarget(path);
  await refuseUnwritable(location, dirname(file));
  return { kind: "file", path: file };
}

async function statOf({ path, given }: FileLocation): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ELOOP") return undefined; // errors of its folder are reported below
    throw new Failure("usage", `${path} is a link that leads back to itself`, {
      expected: `a file, because of ${given}, or nothing`,
      hint: "Name another path.",
      cause: error,
    });
  }
}

/** Returns the final path to which a link leads. Returns a path that is not a link, or does not exist, unchanged. */
async function linkTarget(path: string): Promise<string> {
  let at = path;
  for (let links = 0; links < MAX_LINKS; links += 1) {
    if ((await lstat(at).catch(() => undefined))?.isSymbolicLink() !== true) return at;
    const to = await readlink(at);
    // The path is not normalised: after a link to a folder, only the file system knows where `..` leads.
    at = isAbsolute(to) ? to : `${dirname(at)}${sep}${to}`;
  }
  return at;
}

function isDevice(found: Stats): boolean {
  return found.isCharacterDevice() || found.isBlockDevice();
}

/** Returns whether a file is this process's stdout, such as `/dev/stdout`. */
function isStdout({ dev, ino }: Stats): boolean {
  const own = fstatSync(1);
  return own.dev === dev && own.ino === ino;
}

function stdout({ given }: FileLocation): Destination {
  if (!process.stdout.isTTY) return { kind: "stdout" };
  throw new Failure("usage", `${given}: stdout is a terminal, to which no archive is written`, {
    expected: "stdout to be a pipe or a file",
    hint: "For instance … | docker load, or … > app.tar",
  });
}

/** Throws a `usage` Failure if this user may not write to the pipe. */
async function refuseReadOnlyPipe({ path, given }: FileLocation): Promise<void> {
  try {
    await access(path, constants.W_OK);
  } catch (error) {
    throw new Failure("usage", `${path} cannot be written to`, {
      expected: `a pipe for ${given} that this user may write to`,
      hint: "Name another path.",
      cause: error,
    });
  }
}

function refuseTunnel({ given }: FileLocation): never {
  throw new Failure("usage", `${given}: the stdout of the spawned side is the tunnel to the side that started it`, {
    expected: "stdout as a target on the initiator's side only",
    hint: "Name a file; or start the transfer on that side: docker-over-ssh pull --to docker-archive:- IMAGE COMMAND…",
  });
}
