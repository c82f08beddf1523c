import type { ImageName } from "../image/image-name.ts";
import type { Message } from "../stdio-tunnel/control.ts";
import { imageName, malformed } from "./fields.ts";

/** The same limit as on the command line (commands/options/image-list.ts). */
const MAX_IMAGES = 1000;

/** The images that a sender has. The receiver requests each in a conversation. */
export interface NamedImages {
  images: readonly ImageName[];
  /**
   * True if the sender names further images later, in another message (feature MORE_IMAGES). The receiver does not end the tunnel before
   * that.
   */
  more: boolean;
}

/**
 * Returns the message in which a sender names its images, before the conversations in which they are sent. {@link parseImages} reads it.
 */
export function imagesMessage(images: readonly string[], more = false): Message {
  return { type: "images", images, ...(more && { more }) };
}

export function parseImages({ images, more }: Message): NamedImages {
  if (!Array.isArray(images) || images.length > MAX_IMAGES) throw malformed("list");
  return { images: images.map(imageName), more: more === true };
}
