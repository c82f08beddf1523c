import type { ImageName } from "../image/image-name.ts";
import type { PlatformChoice } from "../image/index-content.ts";
import type { FoundImage } from "./found-image.ts";
import type { Platform } from "../image/platform.ts";

/** The image that the receiver asks for. */
export interface RequestedImage {
  image: ImageName;
  /** The receiver gives the image another name. */
  isRenamed?: boolean | undefined;
  /** `image` is the name that the sender's --as gives to the image, not its name in the source. */
  isNewName?: boolean | undefined;
  /** The only acceptable platform. */
  platform?: Platform | undefined;
  /** All platforms, or several: the image is sent with its index. */
  platforms?: PlatformChoice | undefined;
  /** The platform of the receiver's engine: preferred when the image has several and `platform` is left out. */
  receiverPlatform?: Platform | undefined;
  /** This is a dry run, which changes nothing: leftovers of killed runs stay. */
  isPlanned?: boolean | undefined;
}

/** Which platforms are acceptable. */
export type WantedPlatforms = Pick<RequestedImage, "platform" | "platforms">;

/** A location that is open for sending an image. */
export interface Source extends AsyncDisposable {
  /** The location, for messages. */
  readonly address: string;
  /** Bytes moved by the engine's long requests, see `EngineConnection`, or read to rebuild layers; undefined where neither is done. */
  readonly moved?: number;
  /** Returns the name that this side has for the image: as it was typed, or in the archive; undefined when there is none, or several. */
  name?(wanted: WantedPlatforms): Promise<string | undefined>;
  /** Rejects as {@link find} will, as far as the error does not depend on the receiver's request. */
  check(wanted: WantedPlatforms): Promise<void>;
  /** Finds the image, and reads no layers. Rejects with `image-not-found` when it is missing, or missing for that platform; with `refused` where images have no index. */
  find(requested: RequestedImage): Promise<FoundImage>;
}
