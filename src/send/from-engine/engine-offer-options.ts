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
  /** The image has several platforms, and only that of `info` is sent. */
  onlyPlatform: boolean;
  /** Undefined where the engine has no content store that answers. */
  stored: StoredImage | undefined;
}

/** An image whose blobs the engine's content store gives. */
export interface StoredImage {
  content: ContentStore;
  manifest: ImageManifest;
  /** The exact bytes. */
  config: Buffer;
}
