import { EngineError } from "../engine/engine.ts";
import { temporaryName } from "../engine/run-id.ts";
import type { Descriptor } from "../image/manifest.ts";
import type { Reference } from "../image/reference.ts";
import { Failure, messageOf } from "../output/errors.ts";
import { probeImage } from "../registry/embedded/probe.ts";
import { openEmbeddedRegistry } from "../registry/embedded/server.ts";
import { openStore } from "../store/open.ts";
import { openSpool } from "../store/spool.ts";
import { countLayers, forget, type Arrival, type ArrivalOptions } from "./arrival.ts";
import { fetchLayers } from "./fetch-layers.ts";
import { openOffer } from "./open-offer.ts";

/** No registry is behind this name: it is only for the time until the image has been proven. */
const NOWHERE = "localhost";

/**
 * Fetches what the store lacks into a spool, proves it, and loads it from there as a partial archive. What the store has is
 * told by chain IDs, which are the same on every engine; nothing is loaded before all of it is here.
 */
export async function arriveByLoad(options: ArrivalOptions): Promise<Arrival> {
  const { offer, engine, info, image, run, env, output, signal, onProgress } = options;
  const name = temporaryName(NOWHERE, image.path, [run]);
  using opened = await openOffer(options);
  const { client, manifest, config, diffIds } = opened;
  const onDetail = (text: string): void => output.detail(text);
  const blobsOf = async (id: string): Promise<Descriptor[] | undefined> => await learnBlobs(options, id);
  const store = openStore(engine, info, { platform: offer.platform, path: image.path, run, blobsOf, onDetail });

  const here = await store.present(diffIds, manifest.layers);
  const missing = manifest.layers
    .slice(here.length)
    .map((blob, index) => ({ blob, diffId: diffIds[here.length + index] ?? "" }));
  output.detail(`${here.length} of ${diffIds.length} layers are there already`);

  await using spool = await openSpool(env);
  const total = missing.reduce((all, { blob }) => all + blob.size, 0);
  const progress = { stage: "sending", current: 0, total, layers: { done: 0, total: missing.length } };
  const files = await fetchLayers(client, missing, spool, {
    repository: offer.repository,
    signal,
    onBytes: (count) => {
      progress.current += count;
      onProgress(progress);
    },
    onLayer: () => progress.layers.done++,
  });

  signal.throwIfAborted();
  onProgress({ stage: "loading", current: 0 });
  try {
    await store.load({ config, platform: offer.platform, layers: [...here, ...files] }, name);
  } catch (error) {
    await forget(engine, name);
    if (!(error instanceof EngineError)) throw error;
    throw new Failure("transfer-failed", `the receiving engine would not load the image: ${messageOf(error)}`, {
      expected: `${engine.address} to take an archive of the layers that it lacks`,
      hint: "Run the same command again, or let the engine pull by itself with --via pull.",
      cause: error,
    });
  }
  const moved = manifest.layers.map((_, index) => index >= here.length);
  const counts = countLayers(
    manifest.layers.map(({ size }) => size),
    moved,
  );
  return { name, ...counts, [Symbol.asyncDispose]: async () => await forget(engine, name) };
}

/** What the engine would push of an image: the only way to be told which blobs a containerd store holds. */
async function learnBlobs(options: ArrivalOptions, id: string): Promise<Descriptor[] | undefined> {
  const { engine, run, signal, output } = options;
  await using registry = await openEmbeddedRegistry({ run });
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
