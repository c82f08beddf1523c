import { expect } from "vitest";
import { blobPath } from "../../../../src/image/oci/oci-layout.ts";
import { digestOf } from "../../../../src/image/digest.ts";
import { gzipped, index, LAYOUT, makeImage, ociBlobs, type Pack } from "../make-image.ts";
import { type TestEntry } from "../tar/make-tar.ts";

export const image = await makeImage([3000, 70_000, 200, 9000]);
export const entry = (content: Buffer): TestEntry => ({ name: blobPath(digestOf(content)), content });

/** Creates a layout with its blobs in this order: layers by their numbers, `m`anifest and `c`onfig. */
export function layout(order: string, pack: Pack = gzipped) {
  const { blobs, manifest, descriptors } = ociBlobs(image, pack);
  const [config = Buffer.alloc(0), bytes = Buffer.alloc(0), ...layers] = blobs;
  const entries = Array.from(order, (letter) =>
    entry({ m: bytes, c: config }[letter] ?? layers[Number(letter)] ?? expect.fail()),
  );
  return { entries: [...entries, index([manifest.descriptor]), LAYOUT], descriptors };
}
