import type { Duplex } from "node:stream";
import type { Offer, Want } from "../conversation.ts";
import type { Engine, EngineInfo, ImageInfo } from "../engine/engine.ts";
import type { RunId } from "../engine/run-id.ts";
import type { Digest } from "../image/digest.ts";
import type { Reference } from "../image/reference.ts";
import type { Output, Progress } from "../output/output.ts";

/** An image in a place that images are sent from. */
export interface FoundImage {
  /** `RootFS.Layers`, bottom first. */
  diffIds: Digest[];
  /** `os/arch[/variant]` */
  platform: string;
  /** Where it is known without looking further. */
  configDigest?: Digest;
  /** Makes what the receiver wants available. The caller owns the result. */
  depart(options: DepartureOptions): Promise<Departure>;
}

/** What any image needs on its way to where the tunnel begins. */
export interface DepartureOptions {
  /** The platform was asked for, so that a place with several must give that one only. */
  onlyPlatform: boolean;
  want: Want;
  /** Of this side, then the other. */
  runs: readonly [RunId, RunId];
  env: NodeJS.ProcessEnv;
  output: Output;
  signal: AbortSignal;
  onProgress: (progress: Progress) => void;
}

/** What an image needs besides on its way out of an engine. */
export interface EngineDepartureOptions extends DepartureOptions {
  engine: Engine;
  engineInfo: EngineInfo;
  image: Reference;
  info: ImageInfo;
}

/** What was wanted can be had through the tunnel, until this is disposed of. */
export interface Departure extends AsyncDisposable {
  offer: Offer;
  /** Answers a connection that comes through the tunnel. Owns the stream. */
  accept(stream: Duplex): void;
  /** Aborted, with a Failure, when it cannot be had any longer. */
  signal: AbortSignal;
}
