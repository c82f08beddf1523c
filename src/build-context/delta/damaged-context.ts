import { Failure } from "../../output/errors.ts";
import { DamagedPack, type PackFile } from "./pack-file.ts";

/** Removes a damaged pack, after which the next run sends everything, and returns the failure to report. Returns other errors unchanged. */
export async function damagedContext(pack: PackFile, error: unknown): Promise<unknown> {
  if (!(error instanceof DamagedPack)) return error;
  await pack.remove().catch(() => {});
  return new Failure("not-verified", "the kept context on the side that builds was damaged and has been removed", {
    expected: "each piece of a file to have its digest",
    hint: "Run the same command again: it sends the whole context.",
    cause: error,
  });
}
