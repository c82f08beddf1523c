import type { EngineContainers } from "./engine-containers.ts";
import type { EngineImages } from "./engine-images.ts";
import { isLeftBy, isRunId, RUN_LABEL, runsOfName, TEMPORARY_PATH } from "../run/run-id.ts";

/** Parts of an image's path that are looked for behind ours: registries' names have two to four, and ours put one or two behind them. */
const MAX_PARTS = 12;
const TEMPORARY_NAMES = Array.from({ length: MAX_PARTS }, (_, more) => `*/${TEMPORARY_PATH}/*${"/*".repeat(more)}`);

/**
 * Removes what runs that were killed left in an engine: registry containers, and temporary names of images.
 * What a living run uses stays. Returns what was removed, for --verbose. Never fails a transfer: the engine's errors
 * are answered with an empty list.
 */
export async function removeLeftovers(engine: EngineImages & EngineContainers, now = Date.now()): Promise<string[]> {
  const removed: string[] = [];
  try {
    for (const { id, labels } of await engine.findContainers(RUN_LABEL)) {
      const runs = [labels[RUN_LABEL] ?? ""].filter(isRunId);
      if (!isLeftBy(runs, now)) continue;
      await engine.removeContainer(id);
      removed.push(`container ${id.slice(0, 12)}`);
    }
    for (const reference of await engine.listReferences(TEMPORARY_NAMES)) {
      if (!isLeftBy(runsOfName(reference), now)) continue;
      await engine.removeReference(reference);
      removed.push(reference);
    }
  } catch {
    // An engine that will not list or remove says so in a moment, when it is asked for what matters.
  }
  return removed;
}
