import type { AnnouncedLayer } from "../conversation/messages.ts";
import type { Digest } from "../image/digest.ts";
import type { PlannedBytes, PlannedLayer } from "../output/events.ts";
import { messageOf } from "../output/errors.ts";
import type { DeltaChoice, RebuildSpeed } from "../rebuild/delta-choice.ts";
import type { DeltaBases } from "../rebuild/delta-bases.ts";
import { DeltaSizes } from "../rebuild/delta-size.ts";
import { fallbackReason } from "../rebuild/fallback-reason.ts";
import { canUnpack } from "../rebuild/rebuild-in-file.ts";
import { fetchFailure } from "./fetch-layers.ts";
import type { ReceiveOptions } from "./receive-options.ts";
import { requestLayers, type RequestedLayers } from "./request-layers.ts";

/** How missing layers would be sent. */
export interface PlannedLayers {
  /** In any order. */
  layers: PlannedLayer[];
  /** The rate of the link; undefined if it was not measured. */
  bytesPerSecond?: number | undefined;
  /** The bytes with which a transfer would measure the link, to choose between whole and by delta. */
  bytesProbed?: number | undefined;
}

/** Measures the link for the user: no rate is high enough to stop early, and three further probes take few bytes. */
const MEASURE = { enough: Infinity, budget: 1_000_000 };

/**
 * A rate, in bytes a second, at which a layer is packed as strongly as possible: an archive for a remote engine uses gzip's default level.
 */
const SLOW = 1;

/**
 * Requests missing layers as for a transfer, but fetches none of them. Determines for each layer whether it would be sent whole or by
 * delta, and how many bytes that takes.
 *
 * @param wanted diff IDs, bottom first
 */
export async function planLayers(
  options: ReceiveOptions,
  wanted: readonly Digest[],
  deltaBases: DeltaBases | undefined,
  takesIn: RebuildSpeed["takesIn"],
): Promise<PlannedLayers> {
  if (wanted.length === 0) {
    await options.decline();
    return { layers: [] };
  }
  using requested = await requestLayers(options, wanted, deltaBases);
  if (requested.isUnread) return { layers: estimatedLayers(options, wanted) };
  try {
    const bytesPerSecond = options.isOneProcess ? undefined : await requested.rate.bytesPerSecond(MEASURE);
    const planner = new LayerPlanner(options, requested, deltaBases, takesIn, bytesPerSecond ?? SLOW);
    const layers: PlannedLayer[] = [];
    for await (const layer of requested.layers) {
      options.signal.throwIfAborted();
      layers.push(await planner.plan(layer));
      options.onProgress({ stage: "preparing", current: 0, layers: { done: layers.length, total: wanted.length } });
    }
    return { layers, bytesPerSecond, bytesProbed: planner.bytesProbed };
  } catch (error) {
    throw await fetchFailure(error, options.signal);
  }
}

/** Returns the layers with the sizes that the sender knows early: no more is known without reading the layers. */
export function estimatedLayers({ about }: ReceiveOptions, wanted: readonly Digest[]): PlannedLayer[] {
  return wanted.map((diffId) => {
    const size = about.sizes?.[about.diffIds.indexOf(diffId)];
    return { diffId, way: "whole", ...(size !== undefined && { bytes: { count: size, isExact: false } }) };
  });
}

class LayerPlanner {
  readonly #options: ReceiveOptions;
  readonly #requested: RequestedLayers;
  readonly #deltaBases: DeltaBases | undefined;
  readonly #choice: DeltaChoice;
  readonly #deltaSizes: DeltaSizes | undefined;
  readonly #bytesPerSecond: number;
  /** See {@link PlannedLayers}. */
  bytesProbed = 0;

  constructor(
    options: ReceiveOptions,
    requested: RequestedLayers,
    deltaBases: DeltaBases | undefined,
    takesIn: RebuildSpeed["takesIn"],
    bytesPerSecond: number,
  ) {
    this.#options = options;
    this.#requested = requested;
    this.#deltaBases = deltaBases;
    this.#bytesPerSecond = bytesPerSecond;
    this.#choice = requested.deltaChoice({ reads: deltaBases?.reads ?? "files", takesIn });
    const onDetail = options.output.detail.bind(options.output);
    this.#deltaSizes = deltaBases && new DeltaSizes({ ...requested.fetch, deltaBases, onDetail });
  }

  async plan(layer: AnnouncedLayer): Promise<PlannedLayer> {
    return (await this.#planByDelta(layer)) ?? (await this.#planWhole(layer));
  }

  async #planByDelta(layer: AnnouncedLayer): Promise<PlannedLayer | undefined> {
    const { diffId, cutting, mediaType } = layer;
    if (this.#deltaSizes === undefined || cutting === undefined) return undefined;
    if (canUnpack(mediaType) && !(await this.#isByDelta(layer))) return undefined;
    try {
      const count = await this.#deltaSizes.sizeOf(layer);
      const deltaBase = await this.#deltaBases?.images[0]?.name?.();
      return { diffId, way: "by-delta", bytes: { count, isExact: false }, ...(deltaBase && { deltaBase }) };
    } catch (error) {
      const reason = fallbackReason(error);
      if (reason === undefined) throw error;
      this.#options.output.detail({ code: "rebuild-failed", diffId, reason, error: messageOf(error) });
      return undefined;
    }
  }

  async #isByDelta(layer: AnnouncedLayer): Promise<boolean> {
    const isByDelta = await this.#choice.isByDelta(layer);
    this.bytesProbed = Math.max(this.bytesProbed, await this.#choice.bytesProbed(layer));
    return isByDelta;
  }

  async #planWhole({ diffId, digest, size }: AnnouncedLayer): Promise<PlannedLayer> {
    const { fetch } = this.#requested;
    fetch.limit.refuse(size);
    const resumed = (await fetch.resumeCache?.bytesOf(digest)) ?? 0;
    // A compressed layer is sent as it is stored, but is part of an archive for a remote engine.
    const packed =
      digest === diffId
        ? await fetch.client.packedSize(fetch.repository, digest, this.#bytesPerSecond, fetch.signal)
        : { bytes: size, isExact: this.#options.isOneProcess !== true };
    return { diffId, way: "whole", bytes: bytesLeft(packed, resumed, size, digest === diffId) };
  }
}

/** Returns the bytes that are left after those of an earlier run. For a packed layer, these are plain bytes. */
function bytesLeft(
  { bytes, isExact }: { bytes: number; isExact: boolean },
  resumed: number,
  size: number,
  isPlain: boolean,
): PlannedBytes {
  if (resumed === 0) return { count: bytes, isExact };
  if (!isPlain) return { count: Math.max(0, bytes - resumed), isExact };
  return { count: Math.round(bytes * (1 - Math.min(1, resumed / Math.max(size, 1)))), isExact: false };
}
