import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { expect } from "vitest";
import { checkLayer } from "../../../../src/image/archive/check-layer.ts";
import { readSavedImage, type ReadSavedImageOptions } from "../../../../src/image/archive/read-saved-image.ts";
import type { Digest } from "../../../../src/image/digest.ts";
import type { TestImage } from "./make-image.ts";
import { chopped } from "./pseudo-random.ts";

export function stream(tar: Buffer, seed = 1, largest = 65_536): Readable {
  return Readable.from(chopped(tar, seed, largest), { objectMode: false });
}

/** Reads it, and what it hands on; each layer is proven. */
export async function read(tar: Buffer | Readable, of: TestImage, options: Partial<ReadSavedImageOptions> = {}) {
  const layers = new Map<Digest, Buffer>();
  const unknown = new Map<string, Buffer>();
  const result = await readSavedImage(tar instanceof Readable ? tar : stream(tar), {
    diffIds: of.diffIds,
    wanted: new Set(of.diffIds),
    onLayer: async (diffId, body, { mediaType, digest, size }) => {
      expect(layers.has(diffId)).toBe(false);
      const checked = body.pipe(checkLayer({ blob: { mediaType, digest, size }, diffId }));
      body.once("error", (error) => checked.destroy(error));
      layers.set(diffId, await buffer(checked));
    },
    ...options,
    ...(options.onUnknown && {
      onUnknown: async (body, { path }) => void unknown.set(path, await buffer(body)),
    }),
  });
  return { ...result, layers, seen: unknown };
}

/** Whoever does not know the layers takes what may be one. */
export const spool: Partial<ReadSavedImageOptions> = { onUnknown: async () => {} };
