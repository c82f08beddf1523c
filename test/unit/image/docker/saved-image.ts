import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { expect } from "vitest";
import { verifyLayer } from "../../../../src/image/layer/verify-layer.ts";
import { readSavedImage, type ReadSavedImageOptions } from "../../../../src/image/docker/read-saved-image.ts";
import type { CopyFile, StoredLayer } from "../../../../src/image/docker/unidentified-files.ts";
import { digestOf, type Digest } from "../../../../src/image/digest.ts";
import type { TestImage } from "../make-image.ts";
import { chopped } from "../../pseudo-random.ts";

export function stream(tar: Buffer, seed = 1, largest = 65_536): Readable {
  return Readable.from(chopped(tar, seed, largest), { objectMode: false });
}

/** A file that was unidentified at first and has been identified. */
interface Identified {
  diffId: Digest;
  path: string;
  stored: StoredLayer | undefined;
}

/** Reads a saved image and verifies each layer. With `keeps`, stores unidentified files. `identified` and `discarded` are in order. */
export async function read(
  tar: Buffer | Readable,
  of: TestImage,
  { keeps = false, ...options }: Partial<ReadSavedImageOptions> & { keeps?: boolean } = {},
) {
  const layers = new Map<Digest, Buffer>();
  const identified: Identified[] = [];
  const discarded: string[] = [];
  const events: string[] = [];
  let waiting = 0;
  let mostWaiting = 0;
  const onUnidentified: CopyFile = async (body, { path }) => {
    const bytes = await buffer(body);
    events.push("kept");
    mostWaiting = Math.max(mostWaiting, (waiting += 1));
    return {
      async identified(diffId, stored) {
        waiting -= 1;
        expect(stored).toMatchObject({ digest: digestOf(bytes), size: bytes.length });
        identified.push({ diffId, path, stored });
        events.push("identified");
      },
      async discard() {
        waiting -= 1;
        discarded.push(path);
        events.push("discarded");
      },
    };
  };
  const result = await readSavedImage(tar instanceof Readable ? tar : stream(tar), {
    diffIds: of.diffIds,
    wanted: new Set(of.diffIds),
    onLayer: async (diffId, body, { mediaType, digest, size }) => {
      expect(layers.has(diffId)).toBe(false);
      events.push("passed");
      const checked = body.pipe(verifyLayer({ blob: { mediaType, digest, size }, diffId }));
      body.once("error", (error) => checked.destroy(error));
      layers.set(diffId, await buffer(checked));
    },
    ...(keeps && { onUnidentified }),
    ...options,
  });
  expect(waiting).toBe(0); // each file has been identified or discarded
  return { ...result, layers, identified, discarded, events, mostWaiting };
}
