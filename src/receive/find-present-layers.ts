import type { About } from "../conversation/messages.ts";
import type { Engine } from "../engine/engine.ts";
import { temporaryName } from "../run/run-id.ts";
import { cacheFolder } from "../files/cache-folder.ts";
import type { Descriptor } from "../image/manifest.ts";
import { familiarName, type Reference } from "../image/reference.ts";
import { messageOf } from "../output/errors.ts";
import { probeImage } from "../engine-push/probe-image.ts";
import { openEmbeddedRegistry } from "../registry/embedded/server.ts";
import { findRelatedImages, type RelatedImage } from "../store/related-images.ts";
import type { ContainerdBlobs, KnownImage } from "../store/containerd-blobs.ts";
import { chooseContainerdBlobs } from "../store/choose-containerd-blobs.ts";
import { openStore } from "../store/open-store.ts";
import type { PresentLayers, TargetStore } from "../store/store.ts";
import { memoize, memoizeByKey } from "../streams/memoize.ts";
import type { EngineReceiveOptions } from "./received-image.ts";
import { findDeltaBasesInEngine } from "../rebuild/delta-bases-in-engine.ts";
import type { DeltaBases } from "../rebuild/delta-bases.ts";

/** What an engine has of an image that is coming. */
export interface EngineContents {
  store: TargetStore;
  known: KnownImage;
  /** Its layers. Asked for again, it is looked once more. */
  present(): Promise<PresentLayers>;
  /** Images with files that may be in the missing layers. The caller owns them. */
  deltaBases(): Promise<DeltaBases | undefined>;
  /** Why layers are not to be made of such files; undefined: they may be. */
  noDeltaReason: string | undefined;
}

/** Looks what an engine has of an image: all at once that is one question each, and only when it is wanted what takes longer. */
export async function findPresentLayers(options: EngineReceiveOptions): Promise<EngineContents> {
  const { about, engine, info, image, run, output, signal } = options;
  const { diffIds, platform, manifest: named } = about;
  let found: (() => Promise<readonly RelatedImage[]>) | undefined;
  const relatedImages = async (): Promise<readonly RelatedImage[]> =>
    await (found ??= memoize(async () => await findRelatedImages(engine, diffIds)))();
  const trial = {
    platform,
    trialName: temporaryName("localhost", `${image.path}/trial`, [run]),
    relatedImages,
    blobsOf: memoizeByKey(async (id: string) => await learnBlobs(options, id)),
    signal,
    onDetail: (text: string) => output.detail(text),
  };
  const blobs = info.store === "containerd" ? await chooseContainerdBlobs(engine, trial) : undefined;
  const store = openStore(engine, info, { platform, path: image.path, run, relatedImages, blobs });

  // The files of an engine behind one connection would have to come over it, between all else.
  const oneWay = engine.takesManyAtOnce ? undefined : "the engine's files are behind one connection";
  const noDeltaReason = options.noDeltaReason ?? oneWay;
  const newest = noDeltaReason === undefined ? engine.newestOf(familiarName(image)) : Promise.resolve(undefined);
  newest.catch(() => {}); // awaited when something is missing
  const look = async (): Promise<PresentLayers> => await store.present(diffIds, named?.layers);
  // Of other stores it may be a question about each of the engine's images: not if it has this one.
  let looking = blobs === undefined ? undefined : look();
  looking?.catch(() => {}); // awaited when it is asked for
  return {
    store,
    known: await whatIsKnown(engine, blobs, about),
    async present() {
      const first = looking;
      looking = undefined;
      if (first !== undefined) return await first;
      found = undefined;
      return await look();
    },
    deltaBases: async () =>
      noDeltaReason === undefined
        ? await findDeltaBasesInEngine(engine, { newest, diffIds, relatedImages, blobs, run, signal })
        : undefined,
    noDeltaReason,
  };
}

/**
 * Whether the engine has this very image, or its config. Where an image's ID is its config's digest, one question tells. A manifest
 * that is to be kept is another matter.
 */
async function whatIsKnown(
  engine: Engine,
  blobs: ContainerdBlobs | undefined,
  { configDigest, diffIds, manifest }: About,
): Promise<KnownImage> {
  if (configDigest === undefined || manifest !== undefined) return {};
  if (blobs !== undefined) return await blobs.known(configDigest, diffIds);
  const found = await engine.inspectImage(configDigest);
  return found?.id === configDigest && found.diffIds.join() === diffIds.join() ? { id: configDigest } : {};
}

/** What the engine would push of an image: the way to be told which blobs a containerd store holds that does not say so. */
async function learnBlobs(options: EngineReceiveOptions, id: string): Promise<Descriptor[] | undefined> {
  const { engine, run, env, signal, output } = options;
  await using registry = openEmbeddedRegistry({ runId: run, parent: cacheFolder(env) });
  try {
    await registry.prepare(); // a push brings at least a config
  } catch (error) {
    output.detail(`what ${id} is made of is not asked of the engine: ${messageOf(error)}`);
    return undefined;
  }
  const image: Reference = { given: id, domain: "docker.io", path: "relative" };
  const probed = await probeImage(engine, image, {
    registry,
    runIds: [run],
    signal,
    onDetail: (text) => output.detail(text),
  });
  return probed?.layers.flatMap(({ digest, mediaType, size }) =>
    size === undefined ? [] : [{ digest, mediaType, size }],
  );
}
