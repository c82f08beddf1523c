import { Failure } from "../../output/errors.ts";
import { DamagedPack, type PackFile } from "./pack-file.ts";

/** Removes a pack that is damaged, so that the next run sends everything, and returns the failure that tells; returns other errors unchanged. */
export async function damagedContext(pack: PackFile, error: unknown): Promise<unknown> {
  if (!(error instanceof DamagedPack)) return error;
  await pack.remove().catch(() => {});
  return new Failure("not-verified", "the context that is kept on the side that builds is damaged, and was removed", {
    expected: "each piece of a file to have its digest",
    hint: "Run the same command again: it sends the whole context.",
    cause: error,
  });
}
