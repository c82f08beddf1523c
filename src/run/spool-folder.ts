import { mkdtempSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { cacheFolder } from "../files/cache-folder.ts";
import { openPrivateFolder, UnsafeFolder } from "../files/private-folder.ts";
import { removeFolder } from "../files/remove-folder.ts";
import { messageOf } from "../output/errors.ts";
import { NoSpaceFailure } from "./no-space-failure.ts";
import { runState, type RunId } from "./run-id.ts";

/** The prefix of the name of a spool folder. The run ID and a random part follow. */
export const SPOOL_PREFIX = "spool-";

/**
 * Creates a folder in `parent`, the user's cache folder. Only this user can read the folder, its name contains the run ID, and no other
 * user can redirect its path. The caller removes it with `removeFolder`.
 *
 * @throws Failure `no-space` for every error: the run has no place for files
 */
export function makeSpoolFolder(runId: RunId, parent: string | undefined): string {
  if (parent === undefined) throw unknownFolder();
  try {
    const folder = openPrivateFolder(parent, { make: true });
    return mkdtempSync(join(folder, `${SPOOL_PREFIX}${runId}-`)); // mode 0700
  } catch (error) {
    throw error instanceof UnsafeFolder ? unsafe(error) : noFolder(parent, error);
  }
}

/** Removes the spool folders of killed runs from the user's cache folder. Never rejects: ignores a cache folder that is not safe to use. */
export async function removeDeadSpools(env: NodeJS.ProcessEnv): Promise<void> {
  const parent = cacheFolder(env);
  if (parent === undefined) return;
  try {
    await removeDead(openPrivateFolder(parent, { make: false }));
  } catch {
    // The cache folder is missing or unsafe. A run that needs it reports that.
  }
}

async function removeDead(folder: string): Promise<void> {
  const names = (await readdir(folder).catch(() => [])).filter((name) => name.startsWith(SPOOL_PREFIX));
  for (const name of names) {
    const runId = name.slice(SPOOL_PREFIX.length, name.lastIndexOf("-"));
    if (runState(runId) === "dead") await removeFolder(join(folder, name));
  }
}

function unknownFolder(): NoSpaceFailure {
  return new NoSpaceFailure(
    { code: "no-cache-folder" },
    {
      expected: "an absolute path in HOME or in XDG_CACHE_HOME",
      hint: "Name a folder with XDG_CACHE_HOME.",
    },
  );
}

function unsafe(cause: UnsafeFolder): NoSpaceFailure {
  return new NoSpaceFailure(
    { code: "unsafe-cache-folder", error: cause.message },
    {
      expected: "a folder of this user that no other user may write to, because others could replace layers in it",
      hint: "Remove it, change its owner and mode (chown, chmod go-w), or name another with XDG_CACHE_HOME.",
      cause,
    },
  );
}

function noFolder(parent: string, cause: unknown): NoSpaceFailure {
  return new NoSpaceFailure(
    { code: "no-folder", path: parent, error: messageOf(cause) },
    {
      expected: "a cache folder that this user may write to, with room for the layers that are missing",
      hint: "Name one with XDG_CACHE_HOME.",
      cause,
    },
  );
}
