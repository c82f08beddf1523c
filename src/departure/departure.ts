import type { Duplex } from "node:stream";
import type { Offer, Want } from "../conversation.ts";
import type { Engine, EngineInfo, ImageInfo } from "../engine/engine.ts";
import type { RunId } from "../engine/run-id.ts";
import type { Reference } from "../image/reference.ts";
import type { Output, Progress } from "../output/output.ts";

/** What an image needs on its way out of the engine, to where the tunnel begins. */
export interface DepartureOptions {
  engine: Engine;
  engineInfo: EngineInfo;
  image: Reference;
  info: ImageInfo;
  /** `os/arch[/variant]` that is to be sent. */
  platform: string;
  /** The platform was asked for, so that an engine with several must give that one only. */
  onlyPlatform: boolean;
  want: Want;
  /** Of this side, then the other. */
  runs: readonly [RunId, RunId];
  env: NodeJS.ProcessEnv;
  output: Output;
  signal: AbortSignal;
  onProgress: (progress: Progress) => void;
}

/** What was wanted can be had through the tunnel, until this is disposed of. */
export interface Departure extends AsyncDisposable {
  offer: Offer;
  /** Answers a connection that comes through the tunnel. Owns the stream. */
  accept(stream: Duplex): void;
  /** Aborted, with a Failure, when it cannot be had any longer. */
  signal: AbortSignal;
}
