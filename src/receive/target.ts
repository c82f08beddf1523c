import type { NonEmpty } from "../non-empty.ts";
import type { RunId } from "../run/run-id.ts";
import type { Leftover } from "../output/details.ts";
import type { Digest } from "../image/digest.ts";
import type { Reference } from "../image/reference.ts";
import type { PlannedRoom, StoreName } from "../output/events.ts";
import type { PlannedLayers } from "./plan-layers.ts";
import type { OldImages } from "./remove-old-images.ts";
import type { IndexTarget } from "./index-target.ts";
import type { ReceiveOptions } from "./receive-options.ts";
import type { ReceivedImage } from "./received-image.ts";
import type { Platform } from "../image/platform.ts";

/** A location opened for writing. */
export interface Target extends AsyncDisposable {
  /** For messages. */
  readonly address: string;
  /** The bytes read and written at the location, to detect progress; for an engine, see `Engine`. */
  readonly moved?: number;
  /** Bytes of the archive that were written. */
  readonly written?: number | undefined;
  /** `os/arch` of the engine; undefined without one. */
  readonly platform?: Platform;
  /** True if loaded data is compressed in transit: the engine is reached over one connection. */
  readonly compressesLoads?: boolean;
  /** Returns the names in the notation of this target, each once. Throws a `usage` Failure for a name that the target cannot store. */
  namesFor(images: NonEmpty<Reference>): NonEmpty<string>;
  /** Removes the leftovers of killed runs, and returns their names. */
  removeLeftovers(): Promise<Leftover[]>;
  /**
   * Returns the part of the target that stores images with an index. Throws a `refused` Failure if the target stores one platform of an
   * image.
   */
  indexes(): IndexTarget;
  /** Receives the missing layers, and stores the image under a temporary name. The caller disposes of the result. */
  receive(options: ReceiveOptions): Promise<ReceivedImage>;
  /** Determines the effect of {@link receive} with as few requests as possible. Rejects with the same errors. */
  plan(options: ReceiveOptions): Promise<TargetPlan>;
  /** Returns the image with a name. */
  inspect(name: string): Promise<{ id: string; diffIds: Digest[] } | undefined>;
  /** Returns the digest of the stored manifest with a name. Not defined for a target that stores no manifests. */
  manifestOf?(name: string, of: { platform: Platform; runId: RunId }): Promise<Digest | undefined>;
  /** Removes older images of the repositories of these names, because of --keep. Not defined for targets without an engine. */
  removeOld?(images: NonEmpty<Reference>, keep: number, arrived: string): Promise<OldImages>;
  /** Returns the names that {@link removeOld} would remove. `ids`: the IDs that the image may have in this target. */
  oldNames?(images: NonEmpty<Reference>, keep: number, ids: readonly string[]): Promise<string[]>;
  /** Gives the received image its names, and removes them from other images. */
  tag(from: string, to: NonEmpty<string>): Promise<void>;
}

/** The effect that the transfer of an image would have on a target. */
export interface TargetPlan extends PlannedLayers {
  store: StoreName;
  room: PlannedRoom[];
  /** The ID of the image if it is already present; undefined if it is missing, or if that is not known. */
  id?: string;
}
