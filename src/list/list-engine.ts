import type { Engine } from "../engine/engine.ts";
import type { ImageInfo } from "../engine/engine-images.ts";
import { freeBytes } from "../files/free-bytes.ts";
import type { HaveList } from "../have/have-list.ts";
import { makeHaveList } from "../have/make-have-list.ts";
import { isDigest, type Digest } from "../image/digest.ts";
import { MAX_LAYERS } from "../image/manifest.ts";
import { formatPlatform, parsePlatform, platformOf, type Platform } from "../image/platform.ts";
import { tryReference } from "../image/reference.ts";
import { newRunId, runIdsInName, temporaryName } from "../run/run-id.ts";
import { blobsByContentStore } from "../store/blobs-by-content-store.ts";
import { blobsByDryLoad } from "../store/blobs-by-dry-load.ts";
import { inspectAll } from "../store/related-images.ts";
import { oneLine } from "../output/describe.ts";
import type { Context } from "../transfer.ts";

/** Maximum characters of a version in the list. */
const MAX_VERSION = 100;
/** Layers in one query to a content store, which reads the first bytes of all their blobs at once. */
const LAYERS_PER_QUERY = 64;

/** Lists the images and layers of an engine, as a transfer would find them. Changes nothing. Rejects with the errors of the engine. */
export async function listEngine(engine: Engine, context: Pick<Context, "output" | "signal">): Promise<HaveList> {
  const { version, store, platform, dataFolder } = await engine.info();
  const found = (await inspectAll(engine)).filter(isListable);
  const images = found.toSorted((a, b) => (b.lastTagged ?? 0) - (a.lastTagged ?? 0) || (a.id < b.id ? -1 : 1));
  const free = dataFolder === undefined ? undefined : await freeBytes(dataFolder, { forRoot: true });
  const present = store === "containerd" ? await presentBlobs(engine, images, context) : undefined;
  return makeHaveList(
    {
      version: oneLine(version).slice(0, MAX_VERSION),
      store,
      platform: platformText(platform),
      ...(free?.isLimit === true && { bytesFree: free.bytes }),
    },
    images.map((image) => ({
      names: (image.names ?? []).filter(isListed),
      platform: platformText(image.platform),
      diffIds: image.diffIds,
    })),
    present && { isPresent: (diffId) => present.has(diffId) },
  );
}

/** Returns whether a reader of the list accepts the image: one odd image must not make the whole list invalid. */
function isListable({ diffIds }: ImageInfo): boolean {
  return diffIds.length <= MAX_LAYERS && diffIds.every(isDigest);
}

function isListed(name: string): boolean {
  return tryReference(name) !== undefined && runIdsInName(name).length === 0;
}

/** Returns a platform in a form that a reader of the list accepts. */
function platformText(platform: Platform): string {
  const text = formatPlatform(platform);
  return parsePlatform(text) === undefined ? formatPlatform(platformOf({})) : text;
}

/** Returns the layers of these images whose blobs a containerd store has: only these can be omitted from an archive. */
async function presentBlobs(
  engine: Engine,
  images: readonly ImageInfo[],
  { output, signal }: Pick<Context, "output" | "signal">,
): Promise<Set<Digest>> {
  const onDetail = output.detail.bind(output);
  const content = await engine.contentStore();
  const found = new Set<Digest>();
  const add = ({ diffId }: { diffId: Digest }): void => void found.add(diffId);
  if (content !== undefined) {
    const none = { relatedImages: async () => [], manifestOf: async () => undefined };
    const blobs = blobsByContentStore(engine, content, { ...none, signal, onDetail });
    const all = [...new Set(images.flatMap(({ diffIds }) => diffIds))];
    for (let at = 0; at < all.length; at += LAYERS_PER_QUERY) {
      const { lowest, others } = await blobs.present(all.slice(at, at + LAYERS_PER_QUERY));
      [...lowest, ...others].forEach(add);
    }
    return found;
  }
  onDetail({ code: "content-store-inaccessible" });
  const dryLoadName = temporaryName("localhost", "list/dry-load", [newRunId()]);
  for (const { id, diffIds, platform } of images) {
    if (diffIds.every((diffId) => found.has(diffId))) continue;
    const relatedImages = async () => [{ id, diffIds, shared: diffIds.length }];
    const blobs = blobsByDryLoad(engine, {
      platform,
      dryLoadName,
      relatedImages,
      blobsOf: async () => undefined,
      signal,
      onDetail,
    });
    const { lowest, others } = await blobs.present(diffIds);
    [...lowest, ...others].forEach(add);
  }
  return found;
}
