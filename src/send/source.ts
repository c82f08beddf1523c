import type { ImageName } from "../image/image-name.ts";
import type { PlatformChoice } from "../image/index-content.ts";
import type { FoundImage } from "./found-image.ts";
import type { Platform } from "../image/platform.ts";

/** The image that the receiver requests. */
export interface RequestedImage {
  image: ImageName;
  /** True if the receiver gives the image another name. */
  isRenamed?: boolean | undefined;
  /** True if `image` is the name that the sender's --as gives to the image, not its name in the source. */
  isNewName?: boolean | undefined;
  /** The only acceptable platform. */
  platform?: Platform | undefined;
  /** All platforms, or several: the image is sent with its index. */
  platforms?: PlatformChoice | undefined;
  /** The platform of the receiver's engine, which is preferred if the image has several platforms and `platform` is undefined. */
  receiverPlatform?: Platform | undefined;
  /** True for a dry run, which changes nothing: leftovers of killed runs stay. */
  isDryRun?: boolean | undefined;
}

/** The acceptable platforms. */
export type WantedPlatforms = Pick<RequestedImage, "platform" | "platforms">;

/** A location that is open for sending an image. */
export interface Source extends AsyncDisposable {
  /** The location, for messages. */
  readonly address: string;
  /**
   * Bytes that the engine's long requests have moved (see `EngineConnection`), or that were read to rebuild layers; undefined if neither
   * applies.
   */
  readonly moved?: number;
  /** Returns the name that this side has for the image: as typed by the user, or in the archive; undefined if there is none, or several. */
  name?(wanted: WantedPlatforms): Promise<ImageName | undefined>;
  /** Rejects with the errors of {@link find} that do not depend on the receiver's request. */
  check(wanted: WantedPlatforms): Promise<void>;
  /**
   * Finds the image, without reading layers. Rejects with `image-not-found` if it is missing, also for that platform, and with `refused` if
   * the source stores no indexes.
   */
  find(requested: RequestedImage): Promise<FoundImage>;
}
