import type { AnnouncedLayer } from "../conversation/messages.ts";
import { decodeRecipe } from "../delta/decode-recipe.ts";
import { encodeMissingPieces } from "../delta/missing-pieces.ts";
import { PieceKeyFilter } from "../delta/piece-key-filter.ts";
import { TarRebuild } from "../delta/tar-rebuild.ts";
import type { SizeLimit } from "../image/layer/size-limit.ts";
import type { Detail } from "../output/details.ts";
import type { RegistryClient } from "../registry/registry-client.ts";
import { countRebuiltBytes } from "./count-rebuilt-bytes.ts";
import { DeltaBaseReader } from "./delta-base-reader.ts";
import type { DeltaBases } from "./delta-bases.ts";

export interface DeltaSizesOptions {
  client: Pick<RegistryClient, "recipe" | "piecesSize">;
  repository: string;
  deltaBases: DeltaBases;
  limit: SizeLimit;
  signal: AbortSignal;
  /** For --verbose. */
  onDetail: (detail: Detail) => void;
}

/**
 * Determines how many bytes layers take by delta. Reads recipes and delta bases as a rebuild does, writes nothing, and requests the packed
 * size of the missing pieces from the sender.
 */
export class DeltaSizes {
  readonly #options: DeltaSizesOptions;
  readonly #reader: DeltaBaseReader;
  /** The pieces of earlier layers, which would already be present in a transfer. */
  readonly #earlier: PieceKeyFilter[] = [];

  constructor(options: DeltaSizesOptions) {
    this.#options = options;
    this.#reader = new DeltaBaseReader(options);
  }

  /** Returns the bytes of recipe and missing pieces. Rejects with the errors of a rebuild. */
  async sizeOf({ diffId }: AnnouncedLayer): Promise<number> {
    const { client, repository, limit, signal, onDetail } = this.#options;
    let received = 0;
    const packed = await client.recipe(repository, diffId, signal, (count) => (received += count));
    const keys = new PieceKeyFilter();
    // Nothing is written, so the tar may have any size that --max-size allows.
    const recipe = decodeRecipe(packed, { maxSize: Number.MAX_SAFE_INTEGER });
    const rebuild = TarRebuild.start(undefined, keys.addAll(countRebuiltBytes(recipe, limit)));
    try {
      const readAlong = await this.#reader.readAlongRecipe(rebuild, diffId);
      await rebuild.recipeRead;
      await this.#reader.readRest(rebuild, readAlong, diffId);
      const { pieces, bytes } = rebuild.missing;
      onDetail({
        code: "pieces-found",
        diffId,
        bytesFound: rebuild.distinctBytes - bytes,
        bytes: rebuild.distinctBytes,
      });
      const inEarlier = rebuild.missingBytesWhere((key) => this.#earlier.some((filter) => filter.mayHave(key)));
      this.#earlier.push(keys);
      if (pieces === 0 || inEarlier === bytes) return received;
      const list = encodeMissingPieces(rebuild.missingOrdinals());
      const size = await client.piecesSize(repository, diffId, list, signal);
      return Math.round(received + size * (1 - inEarlier / bytes));
    } finally {
      await rebuild.stop();
    }
  }
}
