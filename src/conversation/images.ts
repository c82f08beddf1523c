import type { ImageName } from "../image/image-name.ts";
import type { Message } from "../stdio-tunnel/control.ts";
import { imageName, malformed } from "./fields.ts";

/** As on the command line (commands/image-list.ts). */
const MAX_IMAGES = 1000;

/** The images that a sender has, each to be asked for in a conversation. */
export interface NamedImages {
  images: readonly ImageName[];
  /** The sender names further ones later, in another message (feature MORE_IMAGES): the receiver does not end the tunnel before. */
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
