import type { Digest } from "../image/digest.ts";
import { indexContent, type IndexContent } from "../image/index-content.ts";
import { InvalidImage } from "../image/invalid-image.ts";
import { list, malformed } from "./fields.ts";

/** Returns the field of an `about` with an index and its manifests. {@link parseIndex} reads it. */
export function indexField({ root, manifests }: IndexContent): { root: string; manifests: string[] } {
  return { root: root.bytes.toString("base64"), manifests: manifests.map(({ bytes }) => bytes.toString("base64")) };
}

/** Parses an index with its manifests, which must name exactly these blobs. */
export function parseIndex(value: unknown, blobs: readonly Digest[]): IndexContent {
  const { root, manifests } = (value ?? {}) as Record<string, unknown>;
  try {
    const content = indexContent(base64(root), list(manifests).map(base64));
    if (content.blobs.map(({ digest }) => digest).join() === blobs.join()) return content;
  } catch (error) {
    if (!(error instanceof InvalidImage)) throw error;
  }
  throw malformed("index");
}

function base64(value: unknown): Buffer {
  if (typeof value !== "string") throw malformed("index");
  return Buffer.from(value, "base64");
}
