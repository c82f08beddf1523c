import type { LayerAnnouncements } from "../conversation/layer-announcements.ts";
import type { About, Offer, WantedImage, WantedLayers } from "../conversation/messages.ts";
import type { Engine, EngineInfo } from "../engine/engine.ts";
import type { Digest } from "../image/digest.ts";
import type { RunId } from "../run/run-id.ts";
import type { Reference } from "../image/reference.ts";
import type { Output, Progress } from "../output/output.ts";
import type { ResumeCache } from "../store/resume-cache.ts";
import type { Tunnel } from "../stdio-tunnel/session.ts";

/** What a target may want of an image that it does not have. */
export type Wanted = WantedLayers | WantedImage;

/** What was wanted can be had. */
export interface OfferedLayers extends LayerAnnouncements {
  /** It says whether the layers are announced. */
  offer: Offer;
}

/** What any image needs on its way from the tunnel. */
export interface ReceiveOptions {
  tunnel: Tunnel;
  about: About;
  /** Tells the sender what is wanted, and resolves when that can be had. */
  obtain: (want: Wanted) => Promise<OfferedLayers>;
  /** Tells it that all is here, its manifest and config too. What it says to that need not be waited for. */
  decline: () => Promise<void>;
  /** Either may be done once more: what was here may be gone meanwhile. */
  mayAskAgain: boolean;
  image: Reference;
  run: RunId;
  env: NodeJS.ProcessEnv;
  /** What has arrived of layers, also of earlier runs; left out where that would save nothing. */
  resumeCache: ResumeCache | undefined;
  output: Output;
  signal: AbortSignal;
  onProgress: (progress: Progress) => void;
  /** Bytes that the missing layers may have, unpacked. */
  maxSize: number | undefined;
  /** Why layers are not to be made of the files that are here already; undefined: they may be. */
  noDeltaReason: string | undefined;
  /** They are to be, if they may, whatever that takes; undefined: where that is faster. */
  delta: "always" | undefined;
  /** Bytes a second that this side takes in at most; 0 or undefined: no limit. */
  bwlimit: number | undefined;
}

/** What an image needs besides on its way into an engine. */
export interface EngineReceiveOptions extends ReceiveOptions {
  engine: Engine;
  info: EngineInfo;
}

/** An image that is in its place, under a temporary name, which goes when this is disposed of; or under its ID, as it was before. */
export interface ReceivedImage extends AsyncDisposable {
  name: string;
  /** It has just been looked at, and is what it should be. */
  isVerified?: boolean;
  /**
   * What the place must call it: the digest of its config, or of its manifest on a containerd store. Left out where a containerd
   * store has pulled it by itself: it may have been an index.
   */
  id?: Digest;
  layersSent: number;
  layersPresent: number;
  /** Compressed size of the layers that were there already, bytes. */
  bytesPresent: number;
  /** Of the layers that were not, what was found in files that were; plain bytes. */
  bytesFound?: number;
}

/** By diff ID, the digests of the blobs that the sender's manifest names, where that is to be kept. */
export function namedBlobs({ diffIds, manifest }: About): ReadonlyMap<Digest, Digest> | undefined {
  return manifest && new Map(manifest.layers.map(({ digest }, index) => [diffIds[index] ?? "", digest]));
}

export type Counts = Pick<ReceivedImage, "layersSent" | "layersPresent" | "bytesPresent">;

/** Counts for the summary. `moved`: of the layers, bottom first, those that came through the tunnel. */
export function countLayers(sizes: readonly number[], moved: readonly boolean[]): Counts {
  const present = sizes.filter((_, index) => !moved[index]);
  return {
    layersSent: sizes.length - present.length,
    layersPresent: present.length,
    bytesPresent: present.reduce((all, size) => all + size, 0),
  };
}
