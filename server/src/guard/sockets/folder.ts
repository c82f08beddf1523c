import { close, constants, fstatSync, lstatSync, open } from "node:fs";
import { promisify } from "node:util";
import { Failure, messageOf } from "docker-over-ssh/builds";

/**
 * An open folder. It stays the same if somebody renames it, or replaces it with a link. Names in it are looked up through its descriptor, so a path never
 * leads elsewhere, and is never longer than the 108 bytes of a socket address. Disposing closes it.
 */
export interface OpenFolder extends AsyncDisposable {
  /** The path by which a name in it is used */
  at(name: string): string;
  /** Whether its path still leads to it */
  isThere(): boolean;
}

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants;

/**
 * Opens a folder.
 *
 * @param followsLink whether the path itself may be a link: for a folder of the operator. What is above it is always the operator's.
 * @throws Failure `usage` where there is no such folder
 */
export async function openFolder(path: string, followsLink: boolean): Promise<OpenFolder> {
  let descriptor;
  try {
    descriptor = await promisify(open)(path, O_RDONLY | O_DIRECTORY | (followsLink ? 0 : O_NOFOLLOW));
  } catch (error) {
    throw noFolder(path, error);
  }
  const opened = descriptor;
  // Only Linux can look up names through a descriptor. Tenants with folders of their own are pods, which run on Linux.
  const inside = process.platform === "linux" ? `/proc/self/fd/${opened}` : path;
  return {
    at: (name) => `${inside}/${name}`,
    isThere: () => isStill(opened, path, followsLink),
    async [Symbol.asyncDispose]() {
      await promisify(close)(opened);
    },
  };
}

function isStill(descriptor: number, path: string, followsLink: boolean): boolean {
  const { dev, ino, nlink } = fstatSync(descriptor);
  if (nlink === 0) return false;
  if (followsLink) return true;
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found !== undefined && found.dev === dev && found.ino === ino;
}

function noFolder(path: string, error: unknown): Failure {
  const { code } = error as NodeJS.ErrnoException;
  const reasons: Readonly<Record<string, string>> = {
    ENOENT: "there is no such folder",
    ENOTDIR: "it is no folder, or a symbolic link",
    EACCES: "this user may not open it",
  };
  return new Failure("usage", `cannot listen in ${path}: ${reasons[code ?? ""] ?? messageOf(error)}`, {
    expected: "a folder in which the guard may create a socket",
    hint: `Create it: mkdir -p ${path}`,
    cause: error,
  });
}
