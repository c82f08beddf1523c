import { expect } from "vitest";
import type { ArchivedImage } from "../../../src/image/archive/image-archive.ts";
import { digestOf } from "../../../src/image/digest.ts";
import { type TestImage } from "./make-image.ts";
import { bytesOf } from "./tar/make-tar.ts";

/** Returns whether the config and the layers are those of the image, with the layers in the form of `stored`. */
export async function isWhole(
  found: ArchivedImage,
  of: TestImage,
  stored: (layer: Buffer) => Buffer,
): Promise<boolean> {
  expect(found).toMatchObject({ config: of.config, configDigest: digestOf(of.config), diffIds: of.diffIds });
  const read = await Promise.all(found.layers.map(async (layer) => await bytesOf(layer.open())));
  for (const [at, bytes] of read.entries()) {
    expect(bytes.equals(stored(of.layers[at] ?? Buffer.alloc(0)))).toBe(true);
    expect(found.layers[at]).toMatchObject({ diffId: of.diffIds[at], blob: { size: bytes.length } });
  }
  return read.length === of.layers.length;
}
