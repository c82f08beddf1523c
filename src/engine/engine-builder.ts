import type { ContentStore } from "./content-store.ts";

/** The parts of an engine that BuildKit serves. */
export interface EngineBuilder {
  /**
   * Returns the config, byte for byte, of an image in a graph driver, where the ID is the config's digest.
   *
   * @param image `name` as the engine lists it, with a tag
   * @param version the engine's, as in `EngineInfo`
   * @returns undefined when the engine does not give it, or gives another image's
   */
  readConfig(image: { name: string; id: string }, version: string, signal: AbortSignal): Promise<Buffer | undefined>;
  /**
   * Returns the blobs of a containerd store; undefined where the engine has another store, is too old, or is behind a proxy that does not
   * pass gRPC. Where the engine is behind a command's stdin and stdout, this may run the command once more.
   */
  contentStore(): Promise<ContentStore | undefined>;
}
