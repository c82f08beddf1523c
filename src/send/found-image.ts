import type { Duplex } from "node:stream";
import type { AnnouncedLayer, Offer, Want } from "../conversation/messages.ts";
import type { ContentStore } from "../engine/content-store.ts";
import type { Engine, EngineInfo } from "../engine/engine.ts";
import type { ImageInfo } from "../engine/engine-images.ts";
import { TEMPORARY_PATH, type RunId } from "../run/run-id.ts";
import type { Digest } from "../image/digest.ts";
import type { ImageManifest } from "../image/manifest.ts";
import type { Reference } from "../image/reference.ts";
import type { Output, Progress } from "../output/output.ts";
import type { Packing } from "../packing/paced-packer.ts";
import { newCredentials } from "../registry/password.ts";

/** An image in a place that images are sent from. */
export interface FoundImage {
  /** `RootFS.Layers`, bottom first. */
  diffIds: Digest[];
  /** `os/arch[/variant]` */
  platform: string;
  /** Where it is known without looking further. */
  configDigest?: Digest;
  /** Its manifest as the place keeps it; undefined when that cannot be learnt. Left out where the place keeps none. */
  manifest?(runs: Runs): Promise<ImageManifest | undefined>;
  /** Makes what the receiver wants available. The caller owns the result. */
  offer(options: OfferOptions): Promise<OfferedImage>;
}

/** Of this side, then the other. */
type Runs = readonly [RunId, RunId];

/** What any image needs on its way to where the tunnel begins. */
export interface OfferOptions {
  want: Exclude<Want, { kind: "nothing" }>;
  /** Digest of the config, where the receiver has been told, and may ask for it before it is there. */
  configDigest: Digest | undefined;
  /** Of plain layers. */
  packing: Packing;
  runs: Runs;
  /** The receiver is to keep this one, and gets layers as it names them. Left out: any manifest of the same layers will do. */
  manifest?: ImageManifest | undefined;
  env: NodeJS.ProcessEnv;
  output: Output;
  signal: AbortSignal;
  onProgress: (progress: Progress) => void;
  /** Tells the receiver of a layer that it can fetch. */
  announce: (layer: AnnouncedLayer) => void;
}

/** An image of which the content store gives the blobs. */
export interface StoredImage {
  content: ContentStore;
  manifest: ImageManifest;
  /** Byte for byte. */
  config: Buffer;
}

/** What an image needs besides on its way out of an engine. */
export interface EngineOfferOptions extends OfferOptions {
  engine: Engine;
  engineInfo: EngineInfo;
  image: Reference;
  info: ImageInfo;
  /** Of an image with several variants, just the one that `info` is of. */
  onlyPlatform: boolean;
  /** Where the engine's content store can be asked. */
  stored: StoredImage | undefined;
}

/** What was wanted can be had through the tunnel, until this is disposed of. */
export interface OfferedImage extends AsyncDisposable {
  offer: Offer;
  /** Answers a connection that comes through the tunnel. Owns the stream. */
  accept(stream: Duplex): void;
  /** Aborted, with a Failure, when it cannot be had any longer. */
  signal: AbortSignal;
}

/** For a receiver that has the image already. */
export const NOTHING_OFFERED: OfferedImage = {
  offer: { repository: `${TEMPORARY_PATH}/nothing`, tag: "nothing", credentials: newCredentials() },
  accept: (stream) => void stream.destroy(),
  signal: new AbortController().signal,
  [Symbol.asyncDispose]: async () => {},
};
