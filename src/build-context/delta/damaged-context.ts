import { Failure } from "../../output/errors.ts";
import { DamagedPieceStore, type PieceStore } from "./piece-store.ts";

/**
 * Removes a damaged piece store, after which the next run sends everything, and returns the failure to report. Returns other errors
 * unchanged.
 */
export async function damagedContext(store: PieceStore, error: unknown): Promise<unknown> {
  if (!(error instanceof DamagedPieceStore)) return error;
  await store.remove().catch(() => {});
  return new Failure("not-verified", "the stored context on the side that builds was damaged and has been removed", {
    expected: "each piece of a file to have its digest",
    hint: "Run the same command again: it sends the whole context.",
    cause: error,
  });
}
