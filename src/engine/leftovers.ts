import type { EngineContainers } from "./engine-containers.ts";
import type { EngineImages } from "./engine-images.ts";
import type { Leftover } from "../output/details.ts";
import { isLeftover, isRunId, RUN_LABEL, runIdsInName, TEMPORARY_PATH } from "../run/run-id.ts";

/** Path components to look for after {@link TEMPORARY_PATH}: names in registries have two to four, and temporary names add one or two. */
const MAX_PARTS = 12;
const TEMPORARY_NAMES = Array.from({ length: MAX_PARTS }, (_, more) => `*/${TEMPORARY_PATH}/*${"/*".repeat(more)}`);

/**
 * Removes the leftovers of killed runs from an engine: registry containers, and temporary names of images. Those of living runs stay.
 * Returns the removed ones. Never rejects: after an error of the engine it stops.
 */
export async function removeLeftovers(engine: EngineImages & EngineContainers, now = Date.now()): Promise<Leftover[]> {
  const removed: Leftover[] = [];
  try {
    for (const { id, labels } of await engine.findContainers(RUN_LABEL)) {
      const runIds = [labels[RUN_LABEL] ?? ""].filter(isRunId);
      if (!isLeftover(runIds, now)) continue;
      await engine.removeContainer(id);
      removed.push({ kind: "container", id });
    }
    for (const reference of await engine.listReferences(TEMPORARY_NAMES)) {
      if (!isLeftover(runIdsInName(reference), now)) continue;
      await engine.removeReference(reference);
      removed.push({ kind: "image", reference });
    }
  } catch {
    // The next request reports a broken engine.
  }
  return removed;
}
