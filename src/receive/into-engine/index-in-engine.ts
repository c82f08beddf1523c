import type { EngineConnection, EngineInfo } from "../../engine/engine.ts";
import type { EngineContent } from "../../engine/engine-content.ts";
import type { EngineImages } from "../../engine/engine-images.ts";
import { EngineError } from "../../engine/engine-error.ts";
import type { ContentStore } from "../../engine/content-store.ts";
import { storeWithoutIndexes } from "../../engine/store-without-indexes.ts";
import { forgetName } from "../../engine/temporary-name.ts";
import type { Digest } from "../../image/digest.ts";
import { partsOf } from "../../image/index-content.ts";
import type { Descriptor } from "../../image/manifest.ts";
import { writeIndexArchive } from "../../image/oci/write-index-content.ts";
import { Failure, messageOf } from "../../output/errors.ts";
import { temporaryName } from "../../run/run-id.ts";
import type { IndexTarget } from "../index-target.ts";
import { spaceInCache, spaceInEngine } from "../free-space.ts";

type IndexEngine = Pick<EngineConnection, "address"> & EngineImages & EngineContent;

/**
 * Returns an engine as a target of images with their index. A containerd store loads an OCI archive of an index without the blobs that it
 * has, and without platforms that the index only names. It unpacks only its own platform (moby `daemon/containerd/image_exporter.go`,
 * LoadImage). Throws a `refused` Failure for another store, and for an engine that pulls the image itself (`--via pull`).
 */
export function indexesInEngine(engine: IndexEngine, info: EngineInfo, pullsItself: boolean): IndexTarget {
  if (info.store !== "containerd") throw storeWithoutIndexes(info, engine.address);
  if (pullsItself) throw cannotPull();
  const contentStore = async (): Promise<ContentStore> => {
    const content = await engine.contentStore();
    if (content === undefined) throw storeWithoutIndexes(info, engine.address);
    return content;
  };
  return {
    store: info.store,
    present: async (blobs, { signal }) => await presentIn(await contentStore(), blobs, signal),
    space: async (options, wanted) => [
      await spaceInEngine({ ...options, info }, wanted),
      await spaceInCache(options, wanted),
    ],
    async put(index, files, { image, runId }) {
      const name = temporaryName("localhost", image.path, [runId]);
      try {
        await engine.loadImage(writeIndexArchive(index, files, [name]));
      } catch (error) {
        await forgetName(engine, name);
        throw loadFailure(error, engine);
      }
      return { name, [Symbol.asyncDispose]: async () => await forgetName(engine, name) };
    },
    async digestOf(name, index) {
      const parts = partsOf(index);
      const present = await presentIn(await contentStore(), parts);
      return parts.every(({ digest }) => present.has(digest)) ? await idOf(engine, name) : undefined;
    },
  };
}

/** Returns the ID of an image. In a containerd store, this is the digest of its index or manifest. */
async function idOf(engine: EngineImages, name: string): Promise<string | undefined> {
  return (await engine.inspectImage(name))?.id;
}

async function presentIn(content: ContentStore, blobs: readonly Descriptor[], signal?: AbortSignal) {
  const sizes = new Map<Digest, number>(blobs.map(({ digest, size }) => [digest, size]));
  if (sizes.size === 0) return new Set<Digest>();
  const found = await content.find({ digests: [...sizes.keys()] }, signal);
  return new Set(found.filter(({ digest, size }) => sizes.get(digest) === size).map(({ digest }) => digest));
}

function cannotPull(): Failure {
  return new Failure("refused", "an engine that pulls by itself pulls one platform of an index", {
    expected: "no --via pull, because of --all-platforms or several --platform",
    hint: "Omit --via pull.",
  });
}

function loadFailure(error: unknown, { address }: Pick<EngineConnection, "address">): unknown {
  if (!(error instanceof EngineError)) return error;
  return new Failure("transfer-failed", `the receiving engine could not load the image: ${messageOf(error)}`, {
    expected: `${address} to load an archive of an index`,
    hint: "Run the same command again: blobs that have arrived are not sent again.",
    cause: error,
  });
}
