import type { Duplex } from "node:stream";
import type { AnnouncedLayer, Offer, Want } from "../conversation/messages.ts";
import { TEMPORARY_PATH, type RunId } from "../run/run-id.ts";
import type { Digest } from "../image/digest.ts";
import type { IndexContent } from "../image/index-content.ts";
import type { ImageManifest } from "../image/manifest.ts";
import type { Output, Progress } from "../output/output.ts";
import type { Packing } from "../packing/paced-packer.ts";
import { newCredentials } from "../registry/password.ts";
import type { Platform } from "../image/platform.ts";
import type { ServedImage } from "./served-image.ts";

/** An image that a source has found. */
export interface FoundImage {
  /** `RootFS.Layers`, bottom first. */
  diffIds: Digest[];
  /** `os/arch[/variant]` */
  platform: Platform;
  /** Undefined if it is not known without reading the image. */
  configDigest?: Digest;
  /**
   * Returns the bytes of each layer as the source stores it, bottom first; empty if they are not known without reading layers.
   *
   * @param mayQueryEngine allows a separate request to a remote engine
   */
  sizes?(mayQueryEngine: boolean): Promise<readonly number[]>;
  /** True if the layers can only be read over the link to a remote engine. */
  isRemote?: boolean;
  /**
   * Reads the manifest that the source stores for the image; undefined if it cannot be read. Not defined if the source stores no manifests.
   */
  manifest?(runIds: RunIds): Promise<ImageManifest | undefined>;
  /**
   * Returns how the embedded registry serves the image, for several receivers that share its export. Not defined if another registry serves
   * it.
   */
  served?: (options: OfferOptions) => Promise<ServedImage>;
  /** Set if several platforms were requested. The layers are then all blobs of the image, by their own digests. */
  index?: IndexContent;
  /** Makes the wanted layers available through the tunnel. The caller owns the result. */
  offer(options: OfferOptions): Promise<OfferedImage>;
}

/** The run IDs of this side and of the peer. */
type RunIds = readonly [RunId, RunId];

export interface OfferOptions {
  want: Exclude<Want, { kind: "nothing" }>;
  /** The digest of the config if the receiver knows it, so that it may request the config before the config is available. */
  configDigest: Digest | undefined;
  /** How plain layers are packed for the transfer. */
  packing: Packing;
  runIds: RunIds;
  /**
   * The manifest that the receiver preserves: layers are sent as the blobs that it names. If undefined, any manifest of these layers is
   * sufficient.
   */
  manifest?: ImageManifest | undefined;
  env: NodeJS.ProcessEnv;
  output: Output;
  signal: AbortSignal;
  onProgress: (progress: Progress) => void;
  /** Announces a layer to the receiver that can be fetched. */
  announce: (layer: AnnouncedLayer) => void;
}

/** The wanted layers, available through the tunnel until this is disposed of. */
export interface OfferedImage extends AsyncDisposable {
  offer: Offer;
  /** Answers a connection through the tunnel. Owns the stream. */
  accept(stream: Duplex): void;
  /** Aborted, with a Failure, when the layers are no longer available. */
  signal: AbortSignal;
}

/** The offer for a receiver that wants nothing. */
export const NOTHING_OFFERED: OfferedImage = {
  offer: {
    repository: `${TEMPORARY_PATH}/nothing`,
    tag: "nothing",
    layers: "available",
    credentials: newCredentials(),
  },
  accept: (stream) => void stream.destroy(),
  signal: new AbortController().signal,
  [Symbol.asyncDispose]: async () => {},
};
