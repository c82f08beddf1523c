import { mkdtempSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { openOwnFolder, UnsafeFolder } from "../files/own-folder.ts";
import { removeFolder } from "../files/remove-folder.ts";
import { Failure, messageOf } from "../output/errors.ts";
import { lifeOf, type RunId } from "./run-id.ts";

const PREFIX = "spool-";

/**
 * Makes a folder that only this user can look into, whose name carries the run, and removes those that killed runs have left
 * in `parent`, the user's cache folder. Returns its path, which no other user can lead elsewhere; the caller removes it, by `removeFolder`.
 *
 * Rejects with a `no-space` Failure, whatever the trouble is: there is no room for files.
 */
export async function makeSpoolFolder(run: RunId, parent: string | undefined): Promise<string> {
  if (parent === undefined) throw unknownFolder();
  try {
    const folder = openOwnFolder(parent, { make: true });
    await removeDead(folder);
    return mkdtempSync(join(folder, `${PREFIX}${run}-`)); // mode 0700
  } catch (error) {
    throw error instanceof UnsafeFolder ? unsafe(error) : noFolder(parent, error);
  }
}

async function removeDead(folder: string): Promise<void> {
  const names = (await readdir(folder).catch(() => [])).filter((name) => name.startsWith(PREFIX));
  for (const name of names) {
    const run = name.slice(PREFIX.length, name.lastIndexOf("-"));
    if (lifeOf(run) === "dead") await removeFolder(join(folder, name));
  }
}

function unknownFolder(): Failure {
  return new Failure("no-space", "there is no cache folder: no home folder of this user is known", {
    expected: "an absolute path in HOME or in XDG_CACHE_HOME",
    hint: "Name a folder with XDG_CACHE_HOME.",
  });
}

function unsafe(cause: UnsafeFolder): Failure {
  return new Failure("no-space", `the cache folder is not used: ${cause.message}`, {
    expected: "a folder of this user that nobody else may write to: who may, can exchange layers on their way",
    hint: "Remove it, or make it so (chown, chmod go-w), or name another with XDG_CACHE_HOME.",
    cause,
  });
}

function noFolder(parent: string, cause: unknown): Failure {
  return new Failure("no-space", `there can be no folder for layers below ${parent}: ${messageOf(cause)}`, {
    expected: "a cache folder that this user may write to, with room for the layers that are missing",
    hint: "Name one with XDG_CACHE_HOME.",
    cause,
  });
}
