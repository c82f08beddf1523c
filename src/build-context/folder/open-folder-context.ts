import { statSync } from "node:fs";
import { readdir, realpath } from "node:fs/promises";
import { posix } from "node:path";
import { Failure, messageOf } from "../../output/errors.ts";
import type { BuildContext, ContextFile } from "../build-context.ts";
import type { AppliedRules } from "../ignore/ignore-rules.ts";
import { openIgnoreRules } from "../ignore/open-ignore-rules.ts";
import { readFile } from "./read-file.ts";
import { TimeSlices } from "./time-slices.ts";
import { type WalkedFolder, walkFolder } from "./walk-folder.ts";

export interface FolderContextOptions {
  /** The Dockerfile's path in the context, in UTF-8. It need not exist. */
  dockerfile?: string;
  /** False: --no-gitignore */
  gitignore?: boolean;
  signal?: AbortSignal | undefined;
}

export interface FolderContext extends BuildContext, Pick<WalkedFolder, "skipped" | "onlyForBuilder"> {
  applied: AppliedRules;
  /** The given path, or the spelling `dockerfile` if the folder has only that, as for Docker. In UTF-8 */
  dockerfile: string;
}

/**
 * Opens a folder as a build context, without the files that .dockerignore, or else git, excludes. Files are read on request, and no file
 * stays open. Throws a Failure `context-invalid` for a folder, a file or an ignore file that cannot be used.
 */
export async function openFolderContext(folder: string, options: FolderContextOptions = {}): Promise<FolderContext> {
  const { dockerfile: given = "Dockerfile", gitignore = true, signal } = options;
  const root = await openRoot(folder);
  const dockerfile = await spelledDockerfile(root, given);
  const { root: rules, builderFiles, applied } = openIgnoreRules(root, { dockerfile, gitignore });
  const walked = await walkFolder(root, { rules, builderFiles, signal });
  const slices = new TimeSlices();
  return {
    ...walked,
    dockerfile,
    applied: applied(),
    async *read(file: ContextFile, signal?: AbortSignal) {
      await slices.pause();
      yield* readFile(root, file, signal);
    },
    async [Symbol.asyncDispose]() {},
  };
}

/** Returns the absolute path of the folder, with all links resolved. */
async function openRoot(folder: string): Promise<string> {
  try {
    const root = await realpath(folder);
    if (statSync(root).isDirectory()) return root;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw badRoot(
      code === "ENOENT"
        ? `the folder ${folder} does not exist`
        : `the folder ${folder} cannot be read: ${messageOf(error)}`,
    );
  }
  throw badRoot(`${folder} is not a folder`);
}

function badRoot(message: string): Failure {
  return new Failure("context-invalid", message, {
    expected: "a folder that this user may read, the address of a git repository, or - for an archive on stdin",
    hint: "Check the path; for an archive in a file: docker-over-ssh build - … < FILE",
  });
}

/** On a case-sensitive file system, `Dockerfile` may be spelled `dockerfile` (moby #10858). */
async function spelledDockerfile(root: string, path: string): Promise<string> {
  const { dir, base } = posix.parse(path);
  if (base !== "Dockerfile") return path;
  const names = await readdir(posix.join(root, dir)).catch((): string[] => []);
  return !names.includes(base) && names.includes("dockerfile") ? posix.join(dir, "dockerfile") : path;
}
