import type { AnnouncedLayer } from "../conversation/messages.ts";
import type { DeltaBases } from "./delta-bases.ts";
import { LayerRebuilder, type LayerRebuilderOptions } from "./layer-rebuilder.ts";

/** Options that a fetch and a rebuilder have in common. */
type SharedOption = "client" | "repository" | "resumeCache" | "limit" | "signal" | "onBytes" | "progress";

/** The options of a fetch, with a rebuilder. Dispose of them before the delta bases and the spool. */
export interface FetchWithRebuilder<Fetch> extends AsyncDisposable {
  fetch: Fetch & { rebuild?: LayerRebuilder["rebuild"] };
  /** Returns the bytes that have been found in delta bases so far. */
  bytesFound: () => number;
}

/**
 * Adds a rebuilder to the options of a fetch, and starts to rebuild `cuttable` layers. Without delta bases, all layers are fetched whole.
 */
export function addRebuilder<Fetch extends Pick<LayerRebuilderOptions, SharedOption>>(
  fetch: Fetch,
  cuttable: AsyncIterable<AnnouncedLayer>,
  {
    deltaBases,
    ...options
  }: { deltaBases: DeltaBases | undefined } & Omit<LayerRebuilderOptions, SharedOption | "deltaBases">,
): FetchWithRebuilder<Fetch> {
  if (deltaBases === undefined) return { fetch, bytesFound: () => 0, [Symbol.asyncDispose]: async () => {} };
  const rebuilder = new LayerRebuilder({ ...fetch, ...options, deltaBases });
  void rebuilder.rebuildAll(cuttable);
  return {
    fetch: { ...fetch, rebuild: async (layer) => await rebuilder.rebuild(layer) },
    bytesFound: () => rebuilder.bytesFound,
    [Symbol.asyncDispose]: async () => await rebuilder[Symbol.asyncDispose](),
  };
}
