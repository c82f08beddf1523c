import type { Digest } from "../image/digest.ts";

/**
 * The images that a dry run has planned for a target so far. A transfer would have stored them before the next image, so layers that images
 * share count once.
 */
export class PlannedImages {
  readonly #isFoundBy: "chain" | "blob";
  readonly #images: (readonly Digest[])[] = [];

  /** @param isFoundBy how the target finds a present layer: only on top of the same layers, or anywhere */
  constructor(isFoundBy: "chain" | "blob") {
    this.#isFoundBy = isFoundBy;
  }

  /** Adds an image that would be stored. */
  add(diffIds: readonly Digest[]): void {
    this.#images.push(diffIds);
  }

  /** Returns the layers of an image that would not be present, bottom first. */
  without(diffIds: readonly Digest[], wanted: readonly Digest[]): Digest[] {
    const present = new Set(
      this.#isFoundBy === "blob"
        ? this.#images.flat()
        : this.#images.flatMap((image) => image.slice(0, sharedBelow(image, diffIds))),
    );
    return wanted.filter((diffId) => !present.has(diffId));
  }
}

/** Returns the number of lowest layers that are the same. */
function sharedBelow(image: readonly Digest[], other: readonly Digest[]): number {
  const differs = other.findIndex((diffId, index) => image[index] !== diffId);
  return differs === -1 ? other.length : differs;
}
