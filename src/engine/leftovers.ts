import type { Engine } from "./engine.ts";
import { lifeOf, RUN_LABEL, runsOfName } from "./run-id.ts";

/** ms. What another host's run left cannot be told dead from here; after a day it is taken for it. */
const FOREIGN_AGE = 24 * 3600 * 1000;

/**
 * Removes what runs that were killed left in an engine: registry containers, and temporary names of images.
 * What a living run uses stays. Returns what was removed, for --verbose. Never fails a transfer: the engine's errors
 * are answered with an empty list.
 */
export async function removeLeftovers(engine: Engine, now = Date.now()): Promise<string[]> {
  const removed: string[] = [];
  try {
    for (const { id, labels, created } of await engine.findContainers(RUN_LABEL)) {
      const life = lifeOf(labels[RUN_LABEL] ?? "");
      if (life === "alive" || (life === "elsewhere" && now - created < FOREIGN_AGE)) continue;
      await engine.removeContainer(id);
      removed.push(`container ${id.slice(0, 12)}`);
    }
    for (const reference of await engine.listReferences()) {
      if (!runsOfName(reference).some((run) => lifeOf(run) === "dead")) continue;
      await engine.removeReference(reference);
      removed.push(reference);
    }
  } catch {
    // An engine that will not list or remove says so in a moment, when it is asked for what matters.
  }
  return removed;
}
