import type { Offer } from "../conversation/messages.ts";
import type { Digest } from "../image/digest.ts";
import type { Reference } from "../image/reference.ts";
import type { RegistryContent } from "../registry/embedded/pull/registry-content.ts";
import type { EmbeddedRegistry } from "../registry/embedded/server.ts";
import type { LazySpool } from "../run/spool.ts";
import type { OutgoingDeltas } from "./outgoing-deltas.ts";
import type { OutgoingLayers } from "./outgoing-layers.ts";

/** An image to serve from the embedded registry, and how its layers are exported. */
export interface ServedImage {
  /** Determines the name of the repository. */
  image: Reference;
  /** Bottom first. */
  diffIds: readonly Digest[];
  /** Adds the wanted layers to the outgoing layers, and finishes these. `signal` is aborted when the receiver fetches nothing more. */
  exportLayers: (outgoing: OutgoingLayers, registry: EmbeddedRegistry, signal: AbortSignal) => Promise<void>;
  /** Returns the Failure for a layer that could not be read. */
  toFailure?: (error: unknown) => unknown;
  /** Aborted, with a Failure, if an added layer cannot be read. If undefined, `exportLayers` rejects instead. */
  broken?: AbortSignal;
  /** The cuts of the layers, if several receivers share them. */
  sharedDeltas?: OutgoingDeltas;
  /** Returns the whole image, for a receiving engine that pulls by itself. */
  wholeImage: (offer: Offer, registry: EmbeddedRegistry, spool: LazySpool) => Promise<RegistryContent>;
}
