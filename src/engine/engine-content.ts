import type { ContentStore } from "./content-store.ts";

/** The content of an engine's images, byte for byte, as its BuildKit returns it. */
export interface EngineContent {
  /**
   * Returns the config, byte for byte, of an image in a graph driver, whose ID is the config's digest.
   *
   * @param image `name` as the engine lists it, with a tag
   * @param version the version of the engine, as in `EngineInfo`
   * @returns undefined if the engine does not return the config, or returns that of another image
   */
  readConfig(image: { name: string; id: string }, version: string, signal: AbortSignal): Promise<Buffer | undefined>;
  /**
   * Returns the blobs of a containerd store; undefined if the engine has another store, is too old, or is behind a proxy that does not pass
   * gRPC. If a command leads to the engine, this may run the command again.
   */
  contentStore(): Promise<ContentStore | undefined>;
}
