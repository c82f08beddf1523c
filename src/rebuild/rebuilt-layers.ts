import { createReadStream } from "node:fs";
import type { PieceKeyFilter } from "../delta/piece-key-filter.ts";
import type { TarRebuild } from "../delta/tar-rebuild.ts";
import { WORTH_READING, type DeltaBaseReader } from "./delta-base-reader.ts";

/**
 * The maximum number of layers whose piece keys are stored: each takes half a megabyte, and the sender decides how many layers there are.
 */
const MAX_FILTERS = 32;

/**
 * Layers that this run has rebuilt. A later layer may contain their pieces: `RUN chown -R` creates a layer from files of the layers below.
 */
export class RebuiltLayers {
  readonly #filters: PieceKeyFilter[] = [];

  /** Adds the piece keys of a layer whose recipe has been read. */
  add(keys: PieceKeyFilter): void {
    this.#filters.push(keys);
    if (this.#filters.length > MAX_FILTERS) this.#filters.shift();
  }

  /** Reads the files of rebuilt layers, the last first, if they may contain enough of the missing pieces. */
  async reuse(paths: readonly string[], rebuild: TarRebuild, reader: DeltaBaseReader): Promise<void> {
    if (rebuild.missingBytesWhere((key) => this.#filters.some((keys) => keys.mayHave(key))) < WORTH_READING) return;
    for (const path of paths.toReversed()) {
      // The reader skips the file of a layer that has been found invalid and removed in the meantime.
      await reader.read(createReadStream(path, { highWaterMark: 1024 * 1024 }), rebuild);
      if (rebuild.missing.pieces === 0) return;
    }
  }
}
