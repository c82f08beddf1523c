import type { LayerAnnouncements } from "../conversation/layer-announcements.ts";
import type { About, AnnouncedLayer, Offer, WantedImage, WantedLayers } from "../conversation/messages.ts";
import type { EngineConnection, EngineInfo } from "../engine/engine.ts";
import type { EngineContainers } from "../engine/engine-containers.ts";
import type { EngineContent } from "../engine/engine-content.ts";
import type { EngineImages } from "../engine/engine-images.ts";
import type { Digest } from "../image/digest.ts";
import type { Reference } from "../image/reference.ts";
import type { NonEmpty } from "../non-empty.ts";
import type { WholeReason } from "../output/details.ts";
import type { Output, Progress } from "../output/output.ts";
import type { RunId } from "../run/run-id.ts";
import type { Conversation } from "../stdio-tunnel/conversation.ts";
import type { ResumeCache } from "../store/resume-cache.ts";

/** The parts of an image that a target may want. */
export type Wanted = WantedLayers | WantedImage;

/** The sender's answer to {@link Wanted}. */
export interface OfferedLayers extends LayerAnnouncements {
  /** Contains whether the layers are announced. */
  offer: Offer;
}

/** Everything that a target needs to receive an image. */
export interface ReceiveOptions {
  tunnel: Conversation;
  about: About;
  /** Sends a `want`, and resolves to the sender's offer. */
  obtain: (want: Wanted, onAnnounced?: (layer: AnnouncedLayer) => void) => Promise<OfferedLayers>;
  /** Reports to the sender that nothing is wanted, not even manifest and config. Does not wait for its answer. */
  decline: () => Promise<void>;
  /** Whether `obtain` or `decline` may be called a second time, because present layers have disappeared in the meantime. */
  allowsSecondWant: boolean;
  /** The first name that the image gets. */
  image: Reference;
  /** All names that it gets. */
  names: NonEmpty<Reference>;
  runId: RunId;
  env: NodeJS.ProcessEnv;
  /** Partial layers, also of earlier runs; undefined if they would save nothing. */
  resumeCache: ResumeCache | undefined;
  output: Output;
  signal: AbortSignal;
  onProgress: (progress: Progress) => void;
  /** --max-size: bytes of all missing layers, uncompressed. */
  maxSize: number | undefined;
  /** The reason why layers are not sent by delta; undefined if they may be. */
  noDeltaReason: WholeReason | undefined;
  /** `always`: layers are sent by delta whenever that is possible. If undefined, whenever that is faster. */
  delta: "always" | undefined;
  /** True if both sides are in this process: the link is that of an engine's API. */
  isOneProcess?: boolean;
  /** --bwlimit of this side, in bytes a second; 0 or undefined for no limit. */
  bwlimit: number | undefined;
}

export interface EngineReceiveOptions extends ReceiveOptions {
  engine: EngineConnection & EngineImages & EngineContainers & EngineContent;
  info: EngineInfo;
}

/** Returns the digests of the blobs in the manifest or index to preserve, by diff ID; undefined if there is none. */
export function namedBlobs({ diffIds, manifest, index }: About): ReadonlyMap<Digest, Digest> | undefined {
  if (index !== undefined) return new Map(diffIds.map((digest) => [digest, digest]));
  return manifest && new Map(manifest.layers.map(({ digest }, index) => [diffIds[index] ?? "", digest]));
}
