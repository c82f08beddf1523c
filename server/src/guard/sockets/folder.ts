import { close, constants, fstatSync, lstatSync, open } from "node:fs";
import { promisify } from "node:util";
import { Failure, messageOf } from "docker-over-ssh/builds";

/**
 * An open folder. It stays the same even if somebody renames it, or replaces it with a link. Names in it are resolved
 * through its descriptor, so a path never leads elsewhere, and never exceeds the 108 bytes of a socket address.
 * Disposing closes it.
 */
export interface OpenFolder extends AsyncDisposable {
  /** Returns the path for accessing a name in it */
  at(name: string): string;
  /** Returns whether its path still leads to it */
  isInPlace(): boolean;
}

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants;

/**
 * Opens a folder.
 *
 * @param followsLink whether the path itself may be a link: for a folder of the operator. The folders above it always
 * belong to the operator.
 * @throws Failure `usage` if the folder does not exist
 */
export async function openFolder(path: string, followsLink: boolean): Promise<OpenFolder> {
  let descriptor;
  try {
    descriptor = await promisify(open)(path, O_RDONLY | O_DIRECTORY | (followsLink ? 0 : O_NOFOLLOW));
  } catch (error) {
    throw noFolder(path, error);
  }
  const opened = descriptor;
  // Only Linux can resolve names through a descriptor. Tenants with folders of their own are pods, which run on Linux.
  const inside = process.platform === "linux" ? `/proc/self/fd/${opened}` : path;
  return {
    at: (name) => `${inside}/${name}`,
    isInPlace: () => isStill(opened, path, followsLink),
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
    ENOENT: "the folder does not exist",
    ENOTDIR: "it is not a folder, or it is a symbolic link",
    EACCES: "this user may not open it",
  };
  return new Failure("usage", `cannot listen in ${path}: ${reasons[code ?? ""] ?? messageOf(error)}`, {
    expected: "a folder in which the guard may create a socket",
    hint: `Create it: mkdir -p ${path}`,
    cause: error,
  });
}
