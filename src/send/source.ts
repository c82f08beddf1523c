import type { ImageName } from "../image/image-name.ts";
import type { FoundImage } from "./found-image.ts";

/** What the receiver asks for. */
export interface Asked {
  image: ImageName;
  /** It will be called something else over there. */
  isRenamed?: boolean | undefined;
  /** That is the name that this side was told to give it (--as), and not what it is called here. */
  isGivenName?: boolean | undefined;
  /** That variant, and no other. */
  platform?: string | undefined;
  /** What runs over there: that variant, where there are several and none was named. */
  runs?: string | undefined;
}

/** A place that images are sent from, and which of them is meant. */
export interface Source extends AsyncDisposable {
  /** For messages: where it is. */
  readonly address: string;
  /** Of what works there, see `Engine`; undefined where nothing does. */
  readonly moved?: number;
  /** What the place itself calls the image that is meant, `name:tag`; undefined where that is not clear. Left out: whoever names it knows. */
  name?(platform: string | undefined): Promise<string | undefined>;
  /** Fails as {@link find} would, as far as that can be told before the receiver has asked. */
  check(platform: string | undefined): Promise<void>;
  /** The image. Fails with `image-not-found` when it is not there, or not for that platform. Reads no layers. */
  find(asked: Asked): Promise<FoundImage>;
}
