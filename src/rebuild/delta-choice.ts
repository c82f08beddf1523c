import type { AnnouncedLayer } from "../conversation/messages.ts";
import type { Detail } from "../output/details.ts";
import type { LinkRate, RateQuestion } from "./link-rate.ts";

const MB = 1_000_000;

/**
 * The assumed speed of a rebuild, in bytes of the tar a second, until a rebuild has been measured. Each side reads and cuts a version, and
 * the receiver writes it. Measured on two cores that both sides share. Files from a container's archive are the slowest to read.
 */
const REBUILT_PER_SECOND = { blobs: 100 * MB, files: 35 * MB };
/** The speed of unpacking and verifying a layer that is sent whole, in bytes of the tar a second. */
const UNPACKED_PER_SECOND = 150 * MB;
/** The packed size of a tar, relative to its size: a fifth to a third for node_modules, a third for system packages. */
const PACKED = 0.3;
/** The bytes that cross the link by delta, relative to the layer sent whole. */
const SENT = 0.03;
/** Seconds that even a small recipe and list of missing pieces take: two round trips, and the start of reading the delta bases. */
const ROUND_TRIPS = 0.1;
/** Predictions are inexact: delta must take less than this share of the time. */
const MAX_TIME_SHARE = 0.9;

/**
 * Bytes that are read before a rebuild is measured: until then, both sides start up and read ahead of each other. After `MIN_SAMPLE` more
 * bytes, the measured speed replaces the assumed speed.
 */
const WARM_UP = 32 * MB;
const MIN_SAMPLE = 64 * MB;
/** A rebuild is given up if its rest is predicted to take this many times as long as the whole layer. */
const GIVE_UP_RATIO = 1.5;

/** The speed of rebuilding on this side. */
export interface RebuildSpeed {
  /** Whether delta bases are read as blobs or file by file. */
  reads: "blobs" | "files";
  /**
   * The speed of the target, in bytes of the tar a second, if it processes a whole layer while the layer arrives, but a rebuilt layer only
   * after the rebuild. Undefined if the target processes neither before it is complete.
   */
  takesIn: number | undefined;
}

export interface DeltaChoiceOptions {
  /** Choose delta whenever it is possible. */
  always: boolean;
  speed: RebuildSpeed;
  rate: Pick<LinkRate, "bytesPerSecond" | "bytesProbedFor" | "stop">;
  /** Returns the bytes of a layer's blob, and of its rebuild, that an earlier run has left. */
  resumed?: (layer: AnnouncedLayer) => Promise<{ whole: number; byDelta: number }>;
  /** For --verbose. */
  onDetail: (detail: Detail) => void;
  /** ms */
  now?: () => number;
}

/** Thrown if a rebuild is so slow that the whole layer would arrive earlier. */
export class RebuildTooSlow extends Error {
  override readonly name = "RebuildTooSlow";
}

/**
 * Chooses for each layer whether it is sent whole or by delta. Predicts which takes less time from the rate of the link, the size of the
 * layer, and the speed of rebuilding. Gives up a rebuild that is slower than predicted.
 */
export class DeltaChoice {
  readonly #options: DeltaChoiceOptions;
  readonly #now: () => number;
  #rebuiltPerSecond: number;

  constructor(options: DeltaChoiceOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#rebuiltPerSecond = REBUILT_PER_SECOND[options.speed.reads];
  }

  /** Rejects pending choices with `reason`. */
  stop(reason: Error): void {
    this.#options.rate.stop(reason);
  }

  /** Returns whether to send a layer by delta that can be sent whole or by delta. */
  async isByDelta(layer: AnnouncedLayer): Promise<boolean> {
    const { always, resumed, rate, onDetail } = this.#options;
    if (always) return true;
    const present = (await resumed?.(layer)) ?? { whole: 0, byDelta: 0 };
    // The run that began the rebuild has found it worthwhile.
    if (present.byDelta > present.whole) return true;
    const perSecond = await rate.bytesPerSecond(this.#question(layer));
    const whole = this.#secondsWhole(layer, perSecond, present.whole);
    const byDelta = this.#secondsByDelta(layer, perSecond);
    const isByDelta = byDelta < whole * MAX_TIME_SHARE;
    onDetail({
      code: "layer-predicted",
      diffId: layer.diffId,
      chosen: isByDelta ? "by-delta" : "whole",
      msWhole: whole * 1000,
      msByDelta: byDelta * 1000,
      bytesPerSecond: perSecond,
    });
    return isByDelta;
  }

  /**
   * Returns a function that measures the rebuild of a layer. Call it repeatedly with the bytes of the tar read so far, and whether the
   * layer can already be fetched whole. It throws {@link RebuildTooSlow} if the whole layer is predicted to arrive earlier.
   */
  async watch(layer: AnnouncedLayer): Promise<(read: number, isAvailableWhole: boolean) => void> {
    const { always, rate } = this.#options;
    if (always) return () => {};
    const perSecond = await rate.bytesPerSecond(this.#question(layer));
    const whole = this.#secondsWhole(layer, perSecond, 0);
    const all = plainSize(layer);
    let start: { read: number; at: number } | undefined;
    return (read, isAvailableWhole) => {
      if (read < WARM_UP) return;
      start ??= { read, at: this.#now() };
      const [more, ms] = [read - start.read, this.#now() - start.at];
      if (more < MIN_SAMPLE || ms <= 0) return;
      this.#rebuiltPerSecond = (more / ms) * 1000;
      const left = Math.max(all - read, 0) / this.#rebuiltPerSecond + this.#secondsToTakeIn(layer);
      if (isAvailableWhole && left > whole * GIVE_UP_RATIO)
        throw new RebuildTooSlow(`${seconds(left)} more by delta, ${seconds(whole)} whole`);
    };
  }

  /** Returns the bytes of the probes that measured the link for this choice. Call it after the choice. */
  async bytesProbed(layer: AnnouncedLayer): Promise<number> {
    const { always, rate } = this.#options;
    return always ? 0 : await rate.bytesProbedFor(this.#question(layer));
  }

  /** Returns the rate up to which the choice depends on the link, and a budget for probes that is small compared with the layer. */
  #question(layer: AnnouncedLayer): RateQuestion {
    return { enough: (sentWhole(layer) * MAX_TIME_SHARE) / this.#secondsToRebuild(layer), budget: layer.size / 16 };
  }

  /** Returns the seconds until the whole layer has arrived and is unpacked and verified. `resumed`: bytes of its blob that are present. */
  #secondsWhole(layer: AnnouncedLayer, perSecond: number, resumed: number): number {
    const left = sentWhole(layer) * (1 - resumed / Math.max(layer.size, 1));
    return Math.max(left / perSecond, plainSize(layer) / UNPACKED_PER_SECOND);
  }

  #secondsByDelta(layer: AnnouncedLayer, perSecond: number): number {
    return this.#secondsToRebuild(layer) + (sentWhole(layer) * SENT) / perSecond;
  }

  /** Returns the seconds until the layer is rebuilt and the target has processed it, without the time to send the missing pieces. */
  #secondsToRebuild(layer: AnnouncedLayer): number {
    return ROUND_TRIPS + plainSize(layer) / this.#rebuiltPerSecond + this.#secondsToTakeIn(layer);
  }

  #secondsToTakeIn(layer: AnnouncedLayer): number {
    const { takesIn } = this.#options.speed;
    return takesIn === undefined ? 0 : plainSize(layer) / takesIn;
  }
}

/** Returns the size of a layer's tar in bytes; an estimate if the layer is stored compressed. */
function plainSize({ diffId, digest, size }: AnnouncedLayer): number {
  return digest === diffId ? size : size / PACKED;
}

/** Returns the bytes that cross the link for a whole layer; an estimate if the layer is packed for the transfer. */
function sentWhole({ diffId, digest, size }: AnnouncedLayer): number {
  return digest === diffId ? size * PACKED : size;
}

function seconds(value: number): string {
  return `${value.toFixed(2)} s`;
}
