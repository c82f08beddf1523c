import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { RunId } from "../engine/run-id.ts";
import { makeSpoolFolder, spoolParent } from "../engine/spool-folder.ts";
import { InvalidImage } from "../image/manifest.ts";
import { Failure } from "../output/errors.ts";

/** A folder for what is on its way, until it has been loaded or sent. */
export interface Spool extends AsyncDisposable {
  /** A file of its own for a layer. */
  pathFor(name: string): string;
}

/** Opens a folder that only this user can look into, in the user's cache; it goes when disposed of. */
export async function openSpool(env: NodeJS.ProcessEnv, run: RunId): Promise<Spool> {
  const folder = await makeSpoolFolder(run, spoolParent(env));
  return {
    pathFor: (name) => join(folder, name),
    [Symbol.asyncDispose]: async () => await rm(folder, { recursive: true, force: true }),
  };
}

/** What went wrong while layers were read, proven and written, as a person should be told it. */
export function spoolFailure(error: unknown, whose: string): unknown {
  if (["ENOSPC", "EDQUOT"].includes(String((error as NodeJS.ErrnoException).code))) {
    return new Failure("no-space", `there is no space left for the layers that wait to be ${whose}`, {
      expected: "room for the layers that are missing, in the cache folder (~/.cache/docker-over-ssh)",
      hint: "Free some, or name a folder on a larger disk with XDG_CACHE_HOME.",
      cause: error,
    });
  }
  if (!(error instanceof InvalidImage)) return error;
  return new Failure("not-verified", `a layer is not what it should be: ${error.message}`, {
    expected: "bytes that have the digest of their layer",
    hint: "Nothing was loaded. Run the same command again; if it happens again, please report it.",
    cause: error,
  });
}
