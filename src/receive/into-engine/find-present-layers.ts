import type { About } from "../../conversation/messages.ts";
import { dryPush } from "../../engine-push/dry-push.ts";
import type { EngineImages } from "../../engine/engine-images.ts";
import { cacheFolder } from "../../files/cache-folder.ts";
import type { Descriptor } from "../../image/manifest.ts";
import { familiarName, type Reference } from "../../image/reference.ts";
import type { WholeReason } from "../../output/details.ts";
import { messageOf } from "../../output/errors.ts";
import { findDeltaBasesInEngine } from "../../rebuild/delta-bases-in-engine.ts";
import type { DeltaBases } from "../../rebuild/delta-bases.ts";
import { openEmbeddedRegistry } from "../../registry/embedded/server.ts";
import { temporaryName } from "../../run/run-id.ts";
import { chooseContainerdBlobs } from "../../store/choose-containerd-blobs.ts";
import type { ContainerdBlobs, KnownImage } from "../../store/containerd-blobs.ts";
import { openStore } from "../../store/open-store.ts";
import { findRelatedImages, type RelatedImage } from "../../store/related-images.ts";
import type { PresentLayers, TargetStore } from "../../store/store.ts";
import { memoize, memoizeByKey } from "../../streams/memoize.ts";
import type { EngineReceiveOptions } from "../receive-options.ts";

/** The parts of the incoming image that an engine has. */
export interface EngineContents {
  store: TargetStore;
  known: KnownImage;
  /** Returns the present layers. Queries the engine again on each call. */
  present(): Promise<PresentLayers>;
  /** Opens similar images as delta bases; undefined if there are none. The caller disposes of them. */
  deltaBases(): Promise<DeltaBases | undefined>;
  /** The reason why layers are not sent by delta; undefined if they may be. */
  noDeltaReason: WholeReason | undefined;
}

/** Starts the queries that take one request each. Longer queries start when their results are needed. */
export async function findPresentLayers(options: EngineReceiveOptions): Promise<EngineContents> {
  const { about, engine, info, image, runId, signal } = options;
  const { diffIds, platform, manifest: named } = about;
  const related = relatedImagesOf(options);
  const relatedImages = related.find;
  const blobs = info.store === "containerd" ? await blobsOf(options, relatedImages) : undefined;
  const store = openStore(engine, info, { platform, path: image.path, runId, relatedImages, blobs });

  // Over a single connection, reading files of the engine would block all other requests.
  const oneConnection = engine.takesManyAtOnce ? undefined : "one-connection";
  const noDeltaReason = options.noDeltaReason ?? oneConnection;
  const newest = noDeltaReason === undefined ? engine.newestOf(familiarName(image)) : Promise.resolve(undefined);
  newest.catch(() => {}); // awaited if a layer is missing
  const findLayers = async (): Promise<PresentLayers> => await store.present(diffIds, named?.layers);
  // In other stores, this may take a request for each image, which is unnecessary if the engine has this image.
  let early = blobs === undefined ? undefined : findLayers();
  early?.catch(() => {}); // awaited by the first call of `present`
  return {
    store,
    known: await knownImage(engine, blobs, about),
    async present() {
      const first = early;
      early = undefined;
      if (first !== undefined) return await first;
      related.reset();
      return await findLayers();
    },
    deltaBases: async () =>
      noDeltaReason === undefined
        ? await findDeltaBasesInEngine(engine, { newest, diffIds, relatedImages, blobs, runId, signal })
        : undefined,
    noDeltaReason,
  };
}

/** Finds related images once, until it is reset. */
function relatedImagesOf({ engine, about }: EngineReceiveOptions): {
  find: () => Promise<readonly RelatedImage[]>;
  reset: () => void;
} {
  let found: (() => Promise<readonly RelatedImage[]>) | undefined;
  return {
    find: async () => await (found ??= memoize(async () => await findRelatedImages(engine, about.diffIds)))(),
    reset: () => (found = undefined),
  };
}

async function blobsOf(
  options: EngineReceiveOptions,
  relatedImages: () => Promise<readonly RelatedImage[]>,
): Promise<ContainerdBlobs> {
  const { engine, about, image, runId, signal, output } = options;
  return await chooseContainerdBlobs(engine, {
    platform: about.platform,
    dryLoadName: temporaryName("localhost", `${image.path}/dry-load`, [runId]),
    relatedImages,
    blobsOf: memoizeByKey(async (id: string) => await blobsByDryPush(options, id)),
    signal,
    onDetail: (detail) => output.detail(detail),
  });
}

/**
 * Returns the image itself, or its config, if the engine has it. One request is sufficient if the ID of an image is the digest of its
 * config. An image whose manifest is to be preserved is never known.
 */
async function knownImage(
  engine: Pick<EngineImages, "inspectImage">,
  blobs: ContainerdBlobs | undefined,
  { configDigest, diffIds, manifest }: About,
): Promise<KnownImage> {
  if (configDigest === undefined || manifest !== undefined) return {};
  if (blobs !== undefined) return await blobs.known(configDigest, diffIds);
  const found = await engine.inspectImage(configDigest);
  return found?.id === configDigest && found.diffIds.join() === diffIds.join() ? { id: configDigest } : {};
}

/** Returns the blobs of an image that the engine would push. For containerd stores without access to their content store. */
async function blobsByDryPush(options: EngineReceiveOptions, id: string): Promise<Descriptor[] | undefined> {
  const { engine, runId, env, signal, output } = options;
  await using registry = openEmbeddedRegistry({ runId, parent: cacheFolder(env) });
  try {
    await registry.openSpool(); // a push uploads at least a config
  } catch (error) {
    output.detail({ code: "dry-push-skipped", image: id, error: messageOf(error) });
    return undefined;
  }
  const image: Reference = { given: id, domain: "docker.io", path: "relative" };
  const dryPushed = await dryPush(engine, image, {
    registry,
    runIds: [runId],
    signal,
    onDetail: (detail) => output.detail(detail),
  });
  return dryPushed?.layers.flatMap(({ digest, mediaType, size }) =>
    size === undefined ? [] : [{ digest, mediaType, size }],
  );
}
