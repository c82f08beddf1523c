import { EngineError, type Engine } from "../engine/engine.ts";
import { temporaryName } from "../engine/run-id.ts";
import { spoolParent } from "../engine/spool-folder.ts";
import { forgetName } from "../engine/temporary-name.ts";
import type { Digest } from "../image/digest.ts";
import type { About } from "../conversation/messages.ts";
import type { Descriptor } from "../image/manifest.ts";
import { familiarName, type Reference } from "../image/reference.ts";
import { Failure, messageOf } from "../output/errors.ts";
import { probeImage } from "../registry/embedded/probe.ts";
import { openEmbeddedRegistry } from "../registry/embedded/server.ts";
import { findRelatives, type Relative } from "../store/chains.ts";
import { containerdBlobs, type ContainerdBlobs, type KnownImage } from "../store/containerd-blobs.ts";
import { openStore } from "../store/open.ts";
import { lazySpool } from "../store/spool.ts";
import type { Delivery, Present, TargetStore } from "../store/store.ts";
import { once, onceEach } from "../streams/once.ts";
import { queue } from "../streams/queue.ts";
import { countLayers, type Arrival, type EngineArrivalOptions } from "./arrival.ts";
import { misled } from "./coming-layer.ts";
import { fetchFailure, fetchLayers, streamLayers } from "./fetch-layers.ts";
import { ask } from "./receive.ts";
import { oneAfterTheOther } from "./one-after-the-other.ts";
import { rebuilding } from "./rebuilder.ts";
import { findSeeds, type Seeds } from "./seeds.ts";
import { withoutZstd } from "./without-zstd.ts";

/** No registry is behind this name: it is only for the time until the image has been proven. */
const NOWHERE = "localhost";

/**
 * Fetches what the store lacks, proves it, and loads it as a partial archive. What the store has is told by its content store, or by
 * chain IDs, which are the same on every engine.
 */
export async function arriveByLoad(options: EngineArrivalOptions): Promise<Arrival> {
  const { about, engine, info, image, run, output, signal } = options;
  const { diffIds, platform, manifest: named } = about;
  const name = temporaryName(NOWHERE, image.path, [run]);
  let found = once(async () => await findRelatives(engine, diffIds));
  const relatives = async (): Promise<readonly Relative[]> => await found();
  const onDetail = (text: string): void => output.detail(text);
  const trialName = temporaryName(NOWHERE, `${image.path}/trial`, [run]);
  const blobsOf = onceEach(async (id: string) => await learnBlobs(options, id));
  const trial = { platform, trialName, relatives, blobsOf, signal, onDetail };
  const blobs = info.store === "containerd" ? await containerdBlobs(engine, trial) : undefined;

  // The files of an engine behind one connection would have to come over it, between all else.
  const oneWay = engine.takesManyAtOnce ? undefined : "the engine's files are behind one connection";
  const whyWhole = options.whyWhole ?? oneWay;
  const youngest = whyWhole === undefined ? engine.newestOf(familiarName(image)) : Promise.resolve(undefined);
  youngest.catch(() => {}); // awaited when something is missing

  const store = openStore(engine, info, { platform, path: image.path, run, relatives, blobs });
  const present = async (): Promise<Present> => await store.present(diffIds, named?.layers);
  // Where that is one question of 10 ms, both are asked at once; else it may be one about each of the engine's images.
  const looking = blobs === undefined ? undefined : present();
  looking?.catch(() => {}); // awaited below
  const known = await whatIsKnown(engine, blobs, about);
  if (known.id !== undefined) {
    await options.decline();
    const counts = { layersSent: 0, layersPresent: diffIds.length, bytesPresent: 0 };
    return { name: known.id, id: known.id, isProven: true, ...counts, [Symbol.asyncDispose]: async () => {} };
  }
  const bring = async (here: Present): Promise<Arrival> => {
    const isMissing = whatIsMissing(diffIds, here);
    const wanted = diffIds.filter((_, index) => isMissing[index]);
    output.detail(`${diffIds.length - wanted.length} of ${diffIds.length} layers are there already`);
    const mayBeMade = whyWhole === undefined && wanted.length > 0;
    const seedOptions = { youngest, diffIds, relatives, blobs, run, signal };
    await using seeds = mayBeMade ? await findSeeds(engine, seedOptions) : undefined;
    const atHand = { present: here, wanted, seeds };
    const { id, sizes, bytesFound } =
      known.config === undefined || wanted.length > 0
        ? await load(store, atHand, name, { ...options, whyWhole })
        : await loadWhatIsHere(store, { present: here, config: known.config }, name, options);
    return arrivalOf(engine, { name, id, ...countLayers(sizes, isMissing), bytesFound });
  };

  let here = await (looking ?? present());
  for (;;) {
    try {
      return await bring(here);
    } catch (error) {
      await forgetName(engine, name);
      const before = here;
      found = once(async () => await findRelatives(engine, diffIds));
      if (options.mayAskAgain && error instanceof EngineError) here = await present();
      // What `docker rmi` took away since we looked is to be sent; anything else would go wrong again.
      if (!hasLess(here, before)) throw notLoaded(error, engine);
      onDetail("something that the engine had of the image is gone: what is missing now is asked for");
    }
  }
}

/** Of the layers that were present, one is not. */
function hasLess(now: Present, before: Present): boolean {
  const isThere = new Set([...now.here, ...now.stored].map(({ diffId }) => diffId));
  return [...before.here, ...before.stored].some(({ diffId }) => !isThere.has(diffId));
}

function notLoaded(error: unknown, { address }: Engine): unknown {
  if (!(error instanceof EngineError)) return error;
  return new Failure("transfer-failed", `the receiving engine would not load the image: ${messageOf(error)}`, {
    expected: `${address} to take an archive of the layers that it lacks`,
    hint: "Run the same command again, or let the engine pull by itself with --via pull.",
    cause: error,
  });
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

interface Loaded {
  id: Digest;
  /** Of the layers' blobs, bottom first, bytes. */
  sizes: readonly number[];
  /** Of the layers that were missing, in files that were here. */
  bytesFound: number;
}

/** For each of an image's layers, whether the store does not have it. */
function whatIsMissing(diffIds: readonly Digest[], { here, stored }: Present): boolean[] {
  const above = new Set(stored.map(({ diffId }) => diffId));
  return diffIds.map((diffId, index) => index >= here.length && !above.has(diffId));
}

interface AtHand {
  present: Present;
  /** The layers that are not, bottom first. */
  wanted: readonly Digest[];
  seeds: Seeds | undefined;
}

/** Puts the image in while its layers come, proven on the way: an archive with one that is not right breaks off before its end. */
async function load(
  store: TargetStore,
  { present, wanted, seeds }: AtHand,
  name: string,
  options: EngineArrivalOptions,
): Promise<Loaded> {
  const { about, env, run, output, signal, kept, onProgress } = options;
  using incoming = await ask(options, wanted, seeds);
  const config = async (): Promise<Buffer> => {
    const opened = await incoming.opened();
    signal.throwIfAborted(); // from here on, it is not interrupted
    onProgress({ stage: "loading", current: 0 });
    return opened.config;
  };
  const over = new AbortController();
  const { platform, diffIds, manifest } = about;
  const delivery = { platform, diffIds, ...present, config, manifest, abandon: () => over.abort() };
  const wanting = AbortSignal.any([signal, over.signal]);
  /** Those that the store has no use for any more are not fetched. */
  const giving = async <Layer>(
    layers: AsyncGenerator<Layer>,
    load: (whole: Delivery<Layer>) => Promise<Digest>,
  ): Promise<Digest> => {
    try {
      return await load({ ...delivery, layers });
    } finally {
      over.abort();
      await layers.return(undefined).catch(() => {});
    }
  };
  try {
    await using spool = lazySpool(env, run);
    const onDetail = (text: string): void => output.detail(text);
    const { cutting } = incoming;
    await using rebuilt = rebuilding({ ...incoming.fetching, signal: wanting }, cutting, { seeds, spool, onDetail });
    const { fetching, bytesFound } = rebuilt;
    let id: Digest;
    if (store.takes === "streams") {
      const layers = oneAfterTheOther(withoutZstd(streamLayers(incoming.layers, fetching), spool), fetching.signal);
      id = await giving(layers, async (whole) => await store.load(whole, name));
    } else {
      const layers = fetchLayers(incoming.layers, wanted, await spool.open(), fetching);
      id = await giving(layers, async (whole) => await store.load(whole, name));
    }
    const { layers } = (await incoming.opened()).manifest;
    return { id, bytesFound: bytesFound(), sizes: layers.map(({ size }) => size) };
  } catch (error) {
    if (kept?.hasMisled && !signal.aborted) throw misled(error);
    throw error instanceof EngineError ? error : await fetchFailure(error, signal);
  }
}

/** Of an image that lacks nothing but its manifest and its name, nothing is asked of the sender. */
async function loadWhatIsHere(
  store: TargetStore,
  { present, config }: { present: Present; config: Buffer },
  name: string,
  { about, decline }: EngineArrivalOptions,
): Promise<Loaded> {
  await decline();
  const { platform, diffIds } = about;
  const layers = queue<never>();
  layers.end();
  const delivery = { platform, diffIds, ...present, layers, config: async () => config, abandon: () => {} };
  const sizeOf = new Map([...present.here, ...present.stored].map(({ diffId, blob }) => [diffId, blob?.size ?? 0]));
  const id = await store.load(delivery, name);
  return { id, sizes: diffIds.map((diffId) => sizeOf.get(diffId) ?? 0), bytesFound: 0 };
}

function arrivalOf(engine: Engine, arrived: Omit<Arrival, keyof AsyncDisposable>): Arrival {
  return { ...arrived, [Symbol.asyncDispose]: async () => await forgetName(engine, arrived.name) };
}

/** What the engine would push of an image: the way to be told which blobs a containerd store holds that does not say so. */
async function learnBlobs(options: EngineArrivalOptions, id: string): Promise<Descriptor[] | undefined> {
  const { engine, run, env, signal, output } = options;
  await using registry = await openEmbeddedRegistry({ run, parent: spoolParent(env) });
  const image: Reference = { given: id, domain: "docker.io", path: "relative" };
  const probed = await probeImage(engine, image, {
    registry,
    runs: [run],
    signal,
    onDetail: (text) => output.detail(text),
  });
  return probed?.layers.flatMap(({ digest, mediaType, size }) =>
    size === undefined ? [] : [{ digest, mediaType, size }],
  );
}
