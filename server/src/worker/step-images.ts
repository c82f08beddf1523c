import { setTimeout as wait } from "node:timers/promises";
import { EngineError, type BuildEvent, type Engine } from "docker-over-ssh/builds";

type Images = Pick<Engine, "inspectImage" | "listImageIds" | "removeReference">;

/** The classic builder's `Step 2/4 : RUN make`, and buildah's `[1/2] STEP 2/4: RUN make` */
const STEP = /^(?:\[[\d/]+\] )?step \d+\/\d+ ?: (\S+)/i;
/** The image that a step has created or found: ` ---> 8d3e5a3a1bc9`, and buildah's `--> 5a70b9d2a51` */
const MADE = /^(?: --->|-->) ([0-9a-f]{11,64})\s*$/;
/** Attempts to remove an image whose container the engine is still removing, and ms between them */
const ATTEMPTS = 20;
const RETRY_EVERY = 100;

/**
 * The images that the classic builder, or buildah, has created for the steps of one build. The builders keep them for
 * ever, without names.
 */
export class StepImages {
  readonly #before: readonly string[];
  readonly #made: string[] = [];
  #step = "";

  /** @param before IDs of the images that existed before */
  constructor(before: readonly string[]) {
    this.#before = before;
  }

  take(event: BuildEvent): void {
    if (event.type !== "build-text") return;
    for (const line of event.text.split("\n")) {
      this.#step = STEP.exec(line)?.[1] ?? this.#step;
      const [, id] = MADE.exec(line) ?? [];
      // FROM prints a base.
      if (id !== undefined && !/^from$/i.test(this.#step)) this.#made.push(id);
    }
  }

  get made(): readonly string[] {
    return this.#made.filter((id) => !this.#before.some((earlier) => earlier.startsWith(`sha256:${id}`)));
  }
}

/**
 * Removes images of steps from one engine when no other such build runs on it: builds share steps, and a build fails if
 * the image of its last step is removed.
 */
export class StepRemoval {
  readonly #left = new Set<string>();
  #running = 0;

  begin(): void {
    this.#running += 1;
  }

  /** Ends a build that {@link begin} counted. Rejects with the engine's errors. */
  async end(engine: Images, made: readonly string[]): Promise<void> {
    this.#running -= 1;
    for (const id of made) this.#left.add(id);
    if (this.#running > 0) return;
    const left = [...this.#left].toReversed(); // an image follows the images from which it was created
    this.#left.clear();
    for (const id of left) await removeUntagged(engine, id);
  }
}

/** Removes an image without a name. Keeps one on which another image depends, or that a container uses. */
export async function removeUntagged(engine: Images, id: string): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    const image = await engine.inspectImage(id);
    if (image === undefined || (image.names ?? []).length > 0) return;
    try {
      return await engine.removeReference(id);
    } catch (error) {
      if (!(error instanceof EngineError && error.status === 409)) throw error;
      // A cancelled build has left a container, which the engine is about to remove.
      if (attempt === ATTEMPTS || !/container/i.test(error.message)) return;
      await wait(RETRY_EVERY);
    }
  }
}
