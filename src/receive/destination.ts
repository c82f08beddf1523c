import { constants, fstatSync, type Stats } from "node:fs";
import { access, lstat, readlink, stat } from "node:fs/promises";
import { dirname, isAbsolute, sep } from "node:path";
import type { FileLocation } from "../image/location.ts";
import { Failure } from "../output/errors.ts";
import { refuseName, refuseUnwritable } from "./refuse-location.ts";

/** Where an archive is written to. */
export type Destination =
  /** A file, which is there or not. It is no link. */
  | { kind: "file"; path: string }
  /** What reads it sees it once, as it comes. */
  | { kind: "stdout" }
  | { kind: "pipe"; path: string };

/** Links that are followed, as by Linux. */
const MAX_LINKS = 40;

/**
 * Looks what an archive is to be written to: `-` is stdout, a pipe is streamed to, a link is followed, also where it leads to nothing yet, as by
 * skopeo (`docker save --output` takes none). Fails with `usage`, before anything is asked for, when no archive can be put there.
 *
 * @param stdoutIsTunnel this side was started by the other, and speaks to it there
 */
export async function findDestination(location: FileLocation, stdoutIsTunnel: boolean): Promise<Destination> {
  const { path } = location;
  if (path === "-") return stdoutIsTunnel ? refuseTunnel(location) : stdout(location);
  refuseName(location);
  const found = await statOf(location);
  if (found?.isDirectory() === true) {
    throw new Failure("usage", `${path} is a folder already`, {
      expected: `a file, because of ${location.given}, or nothing`,
      hint: `For a folder: --to oci:${path}`,
    });
  }
  // A file, too: what is in it stays, and others may write behind the archive (`>>`).
  if (found !== undefined && !isDevice(found) && isStdout(found)) {
    return stdoutIsTunnel ? refuseTunnel(location) : stdout(location);
  }
  if (found !== undefined && !found.isFile()) {
    if (found.isFIFO()) {
      await refuseClosed(location);
      return { kind: "pipe", path };
    }
    throw new Failure("usage", `${path} is a ${found.isSocket() ? "socket" : "device"}, and not a file`, {
      expected: `a file or a pipe, because of ${location.given}, or nothing`,
      hint: "Name a file; - is for stdout.",
    });
  }
  const file = await followed(path);
  await refuseUnwritable(location, dirname(file));
  return { kind: "file", path: file };
}

async function statOf({ path, given }: FileLocation): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ELOOP") return undefined; // the folder's own trouble is told below
    throw new Failure("usage", `${path} is a link that leads round in a circle`, {
      expected: `a file, because of ${given}, or nothing`,
      hint: "Name another path.",
      cause: error,
    });
  }
}

/** The path that a link leads to in the end; what is no link, or not there, is that itself. */
async function followed(path: string): Promise<string> {
  let at = path;
  for (let links = 0; links < MAX_LINKS; links += 1) {
    if ((await lstat(at).catch(() => undefined))?.isSymbolicLink() !== true) return at;
    const to = await readlink(at);
    // Not made shorter: `..` is the file system's to understand, behind a link to a folder.
    at = isAbsolute(to) ? to : `${dirname(at)}${sep}${to}`;
  }
  return at;
}

function isDevice(found: Stats): boolean {
  return found.isCharacterDevice() || found.isBlockDevice();
}

/** `/dev/stdout`, and the like. */
function isStdout({ dev, ino }: Stats): boolean {
  const own = fstatSync(1);
  return own.dev === dev && own.ino === ino;
}

function stdout({ given }: FileLocation): Destination {
  if (!process.stdout.isTTY) return { kind: "stdout" };
  throw new Failure("usage", `${given}: stdout is a terminal, and an archive is nothing to read there`, {
    expected: "stdout to be a pipe or a file",
    hint: "For instance … | docker load, or … > app.tar",
  });
}

/** As root, there is nothing that may not be written to. */
async function refuseClosed({ path, given }: FileLocation): Promise<void> {
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
  throw new Failure("usage", `${given}: the stdout of this side is the tunnel to the side that started it`, {
    expected: "stdout as a place only on the side that is started by hand, with a command behind the image",
    hint: "Name a file there; or turn it round: docker-over-ssh pull --to docker-archive:- IMAGE COMMAND…",
  });
}
