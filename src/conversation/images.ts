import type { ImageName } from "../image/image-name.ts";
import type { Message } from "../stdio-tunnel/control.ts";
import { imageName, malformed } from "./fields.ts";

/** As on the command line (commands/image-list.ts). */
const MAX_IMAGES = 1000;

/**
 * Returns the message in which a sender names its images, before the conversations in which they are sent. {@link parseImages} reads it.
 */
export function imagesMessage(images: readonly string[]): Message {
  return { type: "images", images };
}

export function parseImages({ images }: Message): readonly ImageName[] {
  if (!Array.isArray(images) || images.length > MAX_IMAGES) throw malformed("list");
  return images.map(imageName);
}
