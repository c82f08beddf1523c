import type { EngineContainers } from "./engine-containers.ts";
import type { EngineImages } from "./engine-images.ts";
import type { Leftover } from "../output/details.ts";
import { isLeftover, isRunId, RUN_LABEL, runIdsInName, TEMPORARY_PATH } from "../run/run-id.ts";

/**
 * The maximum number of path components after {@link TEMPORARY_PATH}: names in registries have two to four, and temporary names add one or
 * two.
 */
const MAX_PARTS = 12;
const TEMPORARY_NAMES = Array.from({ length: MAX_PARTS }, (_, more) => `*/${TEMPORARY_PATH}/*${"/*".repeat(more)}`);

/** A leftover of a killed run in an engine. */
type EngineLeftover = Exclude<Leftover, { kind: "file" }>;

/**
 * Removes the leftovers of killed runs from an engine: registry containers, and temporary names of images. Skips runs that are still
 * active. Returns the removed leftovers. Never rejects: stops after an error of the engine.
 */
export async function removeLeftovers(engine: EngineImages & EngineContainers, now = Date.now()): Promise<Leftover[]> {
  const removed: Leftover[] = [];
  try {
    for await (const leftover of findLeftovers(engine, now)) {
      await removeLeftover(engine, leftover);
      removed.push(leftover);
    }
  } catch {
    // The next request reports a broken engine.
  }
  return removed;
}

/** Finds the leftovers of killed runs in an engine. */
export async function* findLeftovers(
  engine: EngineImages & EngineContainers,
  now = Date.now(),
): AsyncGenerator<EngineLeftover> {
  for (const { id, labels } of await engine.findContainers(RUN_LABEL)) {
    const runIds = [labels[RUN_LABEL] ?? ""].filter(isRunId);
    if (isLeftover(runIds, now)) yield { kind: "container", id };
  }
  for (const reference of await engine.listReferences(TEMPORARY_NAMES)) {
    if (isLeftover(runIdsInName(reference), now)) yield { kind: "image", reference };
  }
}

/** Removes a leftover. Rejects if the engine refuses the removal. */
export async function removeLeftover(engine: EngineImages & EngineContainers, leftover: EngineLeftover): Promise<void> {
  if (leftover.kind === "container") await engine.removeContainer(leftover.id);
  else await engine.removeReference(leftover.reference);
}
