import { Readable } from "node:stream";
import type { ContentStore } from "../../engine/content-store.ts";
import type { Engine, EngineInfo } from "../../engine/engine.ts";
import type { ImageInfo } from "../../engine/engine-images.ts";
import { storeWithoutIndexes } from "../../engine/store-without-indexes.ts";
import type { ImageName } from "../../image/image-name.ts";
import type { IndexContent, PlatformChoice } from "../../image/index-content.ts";
import { MAX_MANIFEST } from "../../image/manifest.ts";
import { Failure } from "../../output/errors.ts";
import { indexFailure, readIndex, type StoredBlobs } from "../read-index.ts";

/** An image with its index in a store, and the store's blobs. */
export interface StoredIndex {
  content: IndexContent;
  stored: StoredBlobs;
}

/**
 * Reads an image with its index from the content store of an engine. Throws a Failure: `refused` if the engine has another store, or does
 * not give access to its content store; `image-not-found` for a platform without content; `not-verified` for an invalid index.
 */
export async function indexInEngine(
  engine: Engine,
  info: EngineInfo,
  inspected: (platform: undefined) => Promise<ImageInfo>,
  { named, platforms }: { named: ImageName; platforms: PlatformChoice },
): Promise<StoredIndex> {
  const [{ id }, content] = await Promise.all([
    inspected(undefined),
    info.store === "containerd" ? engine.contentStore() : undefined,
  ]);
  if (content === undefined) throw storeWithoutIndexes(info, engine.address);
  const address = engine.address;
  const root = await content.readSmall(id, MAX_MANIFEST);
  if (root === undefined) {
    throw new Failure("image-not-found", `${named.given} in ${address} has no manifest in the content store`, {
      expected: `the blob ${id}`,
      hint: "Build or pull the image again.",
    });
  }
  const stored = blobsOf(content);
  try {
    return { content: await readIndex(root, stored, platforms, { image: named.given, address }), stored };
  } catch (error) {
    throw indexFailure(error, named.given);
  }
}

function blobsOf(content: ContentStore): StoredBlobs {
  return {
    isInFile: false,
    async present(blobs) {
      const sizes = new Map(blobs.map(({ digest, size }) => [digest, size]));
      const found = await content.find({ digests: [...sizes.keys()] });
      return new Set(found.filter(({ digest, size }) => sizes.get(digest) === size).map(({ digest }) => digest));
    },
    readSmall: async ({ digest }, max) => await content.readSmall(digest, max),
    open({ digest, size }, { first, last } = { first: 0, last: size - 1 }, signal) {
      const bytes = content.read(digest, { size, from: first, length: last - first + 1, signal });
      return Readable.from(bytes, { objectMode: false });
    },
  };
}
