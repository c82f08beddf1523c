import type { AnnouncedLayer } from "../conversation/messages.ts";
import { shortOf } from "../image/digest.ts";
import { bytes } from "../output/describe.ts";
import type { LinkRate, RateQuestion } from "./link-rate.ts";

const MB = 1_000_000;

/**
 * Bytes of the tar a second that a layer is made with at first, until one has been: both sides read and cut a version each, and this one
 * writes it. Measured on two cores that both sides share; where the old files come through a container's archive, that is the slowest.
 */
const MADE_PER_SECOND = { blobs: 100 * MB, files: 35 * MB };
/** Bytes of the tar a second that are unpacked and proven of a layer that comes whole. */
const UNPACKED_PER_SECOND = 150 * MB;
/** Of a tar, what it has when it is packed: node_modules a fifth to a third, system packages a third. */
const PACKED = 0.3;
/** Of a layer that is sent in pieces, what crosses the link after all. */
const SENT = 0.03;
/** Seconds that a recipe and a list of pieces take, however small: two round trips, and the start of reading what is here. */
const ROUND_TRIPS = 0.1;
/** What is predicted is not what is: so much shorter must it be in pieces. */
const CLEARLY = 0.9;

/**
 * Bytes that have been read before the speed of a making is taken: until then both sides start, and read ahead of each other. Behind so many
 * more it is judged by that, and not by what it was predicted by.
 */
const STARTED = 32 * MB;
const ENOUGH = 64 * MB;
/** What is left of making must be predicted to take so many times as long as all of the layer whole, for what has been made to be given up. */
const HOPELESS = 1.5;

/** How this side makes layers, and what becomes of them. */
export interface RebuildSpeed {
  /** Old layers are read as blobs, or file by file. */
  reads: "blobs" | "files";
  /**
   * Bytes of the tar a second that its place takes in after a layer has been made, and would take in while it comes whole. Undefined: what
   * is made is not put in any later than what comes whole.
   */
  takesIn: number | undefined;
}

export interface DeltaChoiceOptions {
  /** In pieces whenever it is possible. */
  always: boolean;
  rebuilding: RebuildSpeed;
  rate: Pick<LinkRate, "bytesPerSecond" | "leave">;
  /** Bytes of a layer's blob that are here already, and need not come; and of what is half made of pieces, those that are on the disk. */
  begun?: (layer: AnnouncedLayer) => Promise<{ whole: number; inPieces: number }>;
  onDetail: (text: string) => void;
  /** ms */
  now?: () => number;
}

/** A layer's pieces are found so slowly that it comes faster whole. */
export class RebuildTooSlow extends Error {
  override readonly name = "TooSlow";
}

/**
 * Chooses, for each layer that can be had whole or in pieces, the way that is predicted to take less time: from how fast bytes come over the link,
 * how large the layer is, and how fast layers are made here. What turns out slower than predicted is given up.
 */
export class DeltaChoice {
  readonly #options: DeltaChoiceOptions;
  readonly #now: () => number;
  #madePerSecond: number;

  constructor(options: DeltaChoiceOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#madePerSecond = MADE_PER_SECOND[options.rebuilding.reads];
  }

  /** Nobody waits for a choice any more: those that are still to be made reject with `reason`. */
  leave(reason: Error): void {
    this.#options.rate.leave(reason);
  }

  async isInPieces(layer: AnnouncedLayer): Promise<boolean> {
    const { always, begun, rate, onDetail } = this.#options;
    if (always) return true;
    const there = (await begun?.(layer)) ?? { whole: 0, inPieces: 0 };
    // Of one that an earlier run has begun to make, that run has found that it is worth it.
    if (there.inPieces > there.whole) return true;
    const perSecond = await rate.bytesPerSecond(this.#question(layer));
    const [whole, inPieces] = [this.#whole(layer, perSecond, there.whole), this.#inPieces(layer, perSecond)];
    const isInPieces = inPieces < whole * CLEARLY;
    onDetail(
      `layer ${shortOf(layer.diffId)} comes ${isInPieces ? "in pieces" : "whole"}: predicted ${seconds(inPieces)} in pieces, ${seconds(whole)} whole, at ${bytes(perSecond)} a second`,
    );
    return isInPieces;
  }

  /**
   * Is told how far a layer has been made, in bytes of its tar, again and again, and whether it can be had whole by now. Throws
   * {@link RebuildTooSlow} when it can, and is predicted to be there sooner that way.
   */
  async watch(layer: AnnouncedLayer): Promise<(made: number, isToBeHadWhole: boolean) => void> {
    const { always, rate } = this.#options;
    if (always) return () => {};
    const perSecond = await rate.bytesPerSecond(this.#question(layer));
    const whole = this.#whole(layer, perSecond, 0);
    const all = plainSize(layer);
    let start: { made: number; at: number } | undefined;
    return (made, isToBeHadWhole) => {
      if (made < STARTED) return;
      start ??= { made, at: this.#now() };
      const [more, ms] = [made - start.made, this.#now() - start.at];
      if (more < ENOUGH || ms <= 0) return;
      this.#madePerSecond = (more / ms) * 1000;
      const left = Math.max(all - made, 0) / this.#madePerSecond + this.#takenIn(layer);
      if (isToBeHadWhole && left > whole * HOPELESS)
        throw new RebuildTooSlow(`${seconds(left)} more in pieces, ${seconds(whole)} whole`);
    };
  }

  /** How closely is the link to be looked at: up to where the layer would come whole, and for what is little beside it. */
  #question(layer: AnnouncedLayer): RateQuestion {
    return { enough: (sentWhole(layer) * CLEARLY) / this.#made(layer), budget: layer.size / 16 };
  }

  /** Seconds until all of it is here, unpacked and proven. */
  #whole(layer: AnnouncedLayer, perSecond: number, begun: number): number {
    const left = sentWhole(layer) * (1 - begun / Math.max(layer.size, 1));
    return Math.max(left / perSecond, plainSize(layer) / UNPACKED_PER_SECOND);
  }

  #inPieces(layer: AnnouncedLayer, perSecond: number): number {
    return this.#made(layer) + (sentWhole(layer) * SENT) / perSecond;
  }

  /** Seconds until it is made and taken in, if what is missing comes in no time. */
  #made(layer: AnnouncedLayer): number {
    return ROUND_TRIPS + plainSize(layer) / this.#madePerSecond + this.#takenIn(layer);
  }

  #takenIn(layer: AnnouncedLayer): number {
    const { takesIn } = this.#options.rebuilding;
    return takesIn === undefined ? 0 : plainSize(layer) / takesIn;
  }
}

/** Bytes of its tar; an estimate where it is stored packed. */
function plainSize({ diffId, digest, size }: AnnouncedLayer): number {
  return digest === diffId ? size : size / PACKED;
}

/** Bytes that cross the link if it comes whole; an estimate where it is packed for the way. */
function sentWhole({ diffId, digest, size }: AnnouncedLayer): number {
  return digest === diffId ? size * PACKED : size;
}

function seconds(value: number): string {
  return `${value.toFixed(2)} s`;
}
