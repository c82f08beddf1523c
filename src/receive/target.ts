import type { RunId } from "../run/run-id.ts";
import type { Leftover } from "../output/details.ts";
import type { Digest } from "../image/digest.ts";
import type { Reference } from "../image/reference.ts";
import type { PlannedRoom, StoreName } from "../output/events.ts";
import type { PlannedLayers } from "./plan-layers.ts";
import type { OldImages } from "./old-images.ts";
import type { IndexTarget } from "./index-target.ts";
import type { ReceiveOptions } from "./receive-options.ts";
import type { ReceivedImage } from "./received-image.ts";
import type { Platform } from "../image/platform.ts";

type NonEmpty<T> = readonly [T, ...T[]];

/** A location opened for writing. */
export interface Target extends AsyncDisposable {
  /** For messages. */
  readonly address: string;
  /** Counts the bytes read and written there, to detect progress; of an engine, see `Engine`. */
  readonly moved?: number;
  /** Bytes of the archive that were written. */
  readonly written?: number | undefined;
  /** `os/arch` of the engine; undefined without one. */
  readonly platform?: Platform;
  /** What is loaded there is compressed on the way: the engine is behind one connection. */
  readonly compressesLoads?: boolean;
  /** Returns the names as this target writes them, each once. Throws a `usage` Failure for a name that it cannot hold. */
  namesFor(images: NonEmpty<Reference>): NonEmpty<string>;
  /** Removes the leftovers of killed runs, and returns their names. */
  tidy(): Promise<Leftover[]>;
  /** Returns how images with an index are stored. Throws a `refused` Failure where the target keeps one platform of an image. */
  indexes(): IndexTarget;
  /** Receives the missing layers, and stores the image under a temporary name. The caller disposes of the result. */
  receive(options: ReceiveOptions): Promise<ReceivedImage>;
  /** Finds out what {@link receive} would do, with as little as that needs. Rejects as it would. */
  plan(options: ReceiveOptions): Promise<TargetPlan>;
  /** Returns the image under a name. */
  inspect(name: string): Promise<{ id: string; diffIds: Digest[] } | undefined>;
  /** Returns the digest of the stored manifest under a name. Undefined in a target that keeps no manifests. */
  manifestOf?(name: string, of: { platform: Platform; runId: RunId }): Promise<Digest | undefined>;
  /** Removes older images of the repositories of these names, because of --keep. Left out by targets without an engine. */
  removeOld?(images: NonEmpty<Reference>, keep: number, arrived: string): Promise<OldImages>;
  /** Returns the names that {@link removeOld} would remove. `ids`: those that the image may have here. */
  oldNames?(images: NonEmpty<Reference>, keep: number, ids: readonly string[]): Promise<string[]>;
  /** Gives the received image its names, which other images lose. */
  tag(from: string, to: NonEmpty<string>): Promise<void>;
}

/** What a target would do with an image. */
export interface TargetPlan extends PlannedLayers {
  store: StoreName;
  room: PlannedRoom[];
  /** ID of the image, which is there already. Left out: it is not there, or that is not known. */
  id?: string;
}
