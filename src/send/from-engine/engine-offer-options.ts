import type { ContentStore } from "../../engine/content-store.ts";
import type { Engine, EngineInfo } from "../../engine/engine.ts";
import type { ImageInfo } from "../../engine/engine-images.ts";
import type { ImageManifest } from "../../image/manifest.ts";
import type { Reference } from "../../image/reference.ts";
import type { OfferOptions } from "../found-image.ts";

/** Additional options for exporting an image from an engine. */
export interface EngineOfferOptions extends OfferOptions {
  engine: Engine;
  engineInfo: EngineInfo;
  image: Reference;
  info: ImageInfo;
  /** True if the image has several platforms, and only that of `info` is sent. */
  onlyPlatform: boolean;
  /** Undefined if the engine gives no access to a content store. */
  stored: StoredImage | undefined;
}

/** An image whose blobs are read from the engine's content store. */
export interface StoredImage {
  content: ContentStore;
  manifest: ImageManifest;
  /** The exact bytes. */
  config: Buffer;
}
