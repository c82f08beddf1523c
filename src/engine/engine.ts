import type { EngineContent } from "./engine-content.ts";
import type { EngineBuilder } from "./engine-builder.ts";
import type { EngineContainers } from "./engine-containers.ts";
import type { EngineImages } from "./engine-images.ts";
import type { Platform } from "../image/platform.ts";
import type { EngineStore } from "../output/events.ts";

/**
 * A Docker-compatible engine. Code that needs only some of its parts uses these interfaces: {@link EngineImages}, {@link EngineContainers},
 * {@link EngineContent}, {@link EngineBuilder}, {@link EngineConnection}. open/open-engine.ts implements them all.
 *
 * Every method rejects with a `Failure` `engine-unreachable` when the connection fails, with `no-space` when the engine's disk is full, and
 * with an `EngineError` when the engine answers with an error. After the signal given to `openEngine` is aborted, it rejects with the
 * signal's reason; only the removing methods still work, for a limited time.
 */
export interface Engine extends EngineConnection, EngineImages, EngineContainers, EngineContent, EngineBuilder {}

/** The connection to an engine. Disposing closes it. */
export interface EngineConnection extends AsyncDisposable {
  /** For messages: the endpoint and the setting that selected it, e.g. `unix:///var/run/docker.sock (context default)`. */
  readonly address: string;
  /** Bytes that long requests have sent to and received from the engine so far. While the number grows, the engine makes progress. */
  readonly moved: number;
  /** Whether the engine may run on this machine. If so, it can reach a port of this machine's 127.0.0.1. */
  readonly reachesUs: boolean;
  /** False if all requests share one connection and wait for each other. */
  readonly takesManyAtOnce: boolean;
  info(): Promise<EngineInfo>;
}

export interface EngineInfo {
  /** The engine's version, e.g. `28.5.2`. */
  version: string;
  /** The API version in use, e.g. `1.51`. */
  apiVersion: string;
  store: EngineStore;
  /** The platform that containers run on, e.g. `linux/amd64` (Docker's own spelling of architectures). */
  platform: Platform;
  /** The folder with the images, if it surely is a folder of this machine. */
  dataFolder?: string | undefined;
}
