import { newRunId } from "../../run/run-id.ts";
import { digestOf, type Digest } from "../../image/digest.ts";
import type { Descriptor } from "../../image/manifest.ts";
import type { FileLocation } from "../../image/location.ts";
import { LayoutStore } from "../../store/layout-store.ts";
import { openSpool } from "../../run/spool.ts";
import type { AvailableLayer, LayerFile } from "../../store/store.ts";
import { namedBlobs, type ReceiveOptions } from "../receive-options.ts";
import { countLayers, type ReceivedImage } from "../received-image.ts";
import { namesInFile, refsOf } from "./name-in-file.ts";
import { locationErrors } from "./location-errors.ts";
import { refuseLayoutLocation } from "./refuse-location.ts";
import { fetchImage } from "../fetch-image.ts";
import { findDeltaBasesInFile } from "../../rebuild/delta-bases-in-file.ts";
import { indexesInLayout } from "./index-in-layout.ts";
import { PlannedImages } from "../planned-images.ts";
import { planLayers } from "../plan-layers.ts";
import { refuseWithoutSpace, spaceForFiles } from "../free-space.ts";
import type { Target, TargetPlan } from "../target.ts";

/** Returns an existing or new OCI layout as a target without an engine. A new image is named by its manifest until it is listed. */
export async function layoutTarget(location: FileLocation): Promise<Target> {
  await refuseLayoutLocation(location);
  const store = new LayoutStore(location.path, newRunId());
  const received = new Map<string, { manifest: Descriptor; names: ReceiveOptions["names"] }>();
  const planned = new PlannedImages("blob");
  const explain = locationErrors(location);
  let moved = 0;
  const onMoved = (bytes: number): void => void (moved += bytes);
  const onStored = (manifest: Descriptor, { names }: ReceiveOptions): void =>
    void received.set(manifest.digest, { manifest, names });
  const indexes = { ...indexesInLayout(location, { onStored, onMoved }), planned };
  return {
    address: location.path,
    get moved() {
      return moved;
    },
    namesFor: (images) => refsOf(namesInFile(location, images)),
    removeLeftovers: async () => await store.removeLeftovers(),
    indexes: () => indexes,
    async receive(options) {
      const { manifest, image } = await explain(receiveInto(location, store, options, onMoved));
      received.set(image.name, { manifest, names: options.names });
      return image;
    },
    async plan(options) {
      const found = await explain(planFor({ location, store, planned }, options, onMoved));
      planned.add(options.about.diffIds);
      return found;
    },
    async inspect(name) {
      const manifest = received.get(name)?.manifest;
      const found = await explain(manifest === undefined ? store.find(name) : store.read(manifest));
      return found && { id: found.configDigest, diffIds: found.diffIds };
    },
    async manifestOf(name) {
      const manifest = received.get(name)?.manifest;
      return manifest && (await explain(store.read(manifest)))?.manifest.descriptor.digest;
    },
    async tag(from) {
      const found = received.get(from);
      if (found === undefined) throw new Error(`${from} was not received`);
      await explain(store.listImage(found.manifest, namesInFile(location, found.names), onMoved));
    },
    [Symbol.asyncDispose]: async () => {},
  };
}

/** Fetches the layers that no image of the folder has, and adds them to the folder. */
async function receiveInto(
  location: FileLocation,
  store: LayoutStore,
  options: ReceiveOptions,
  onMoved: (bytes: number) => void,
): Promise<{ manifest: Descriptor; image: ReceivedImage }> {
  const { about, env, runId, signal, onProgress, noDeltaReason } = options;
  const present = await findPresent(store, options, onMoved);
  const wanted = about.diffIds.filter((diffId) => !present.has(diffId));
  refuseWithoutSpace(await spaceForFiles(location.path, options, wanted));
  await using deltaBases =
    noDeltaReason === undefined && wanted.length > 0 ? await findDeltaBasesInFile(location, about) : undefined;
  await using spool = await openSpool(env, runId);
  const { config, files, manifest: sent, bytesFound } = await fetchImage(options, wanted, spool, deltaBases);

  signal.throwIfAborted();
  onProgress({ stage: "storing", current: 0 });
  const layers = availableLayers(about.diffIds, present, files);
  const manifest = await store.addBlobs(config, layers, sent, { preserve: about.manifest !== undefined });
  const counts = countLayers(
    layers.map(({ blob }) => blob?.size ?? 0),
    layers.map(({ kind }) => kind === "file"),
  );
  // Blobs that no image in the index uses are harmless, and the next run can use them.
  return {
    manifest,
    image: {
      name: manifest.digest,
      id: digestOf(config),
      ...counts,
      bytesFound,
      [Symbol.asyncDispose]: async () => {},
    },
  };
}

async function planFor(
  { location, store, planned }: { location: FileLocation; store: LayoutStore; planned: PlannedImages },
  options: ReceiveOptions,
  onMoved: (bytes: number) => void,
): Promise<TargetPlan> {
  const { about, noDeltaReason } = options;
  const present = await findPresent(store, options, onMoved);
  const missing = about.diffIds.filter((diffId) => !present.has(diffId));
  const wanted = planned.without(about.diffIds, missing);
  const space = await spaceForFiles(location.path, options, wanted);
  refuseWithoutSpace(space);
  await using deltaBases =
    noDeltaReason === undefined && wanted.length > 0 ? await findDeltaBasesInFile(location, about) : undefined;
  return { ...(await planLayers(options, wanted, deltaBases, undefined)), store: "layout", room: space };
}

/** Finds and verifies the layers that the folder has. */
async function findPresent(
  store: LayoutStore,
  { about, signal, onProgress }: ReceiveOptions,
  onMoved: (bytes: number) => void,
): Promise<Map<Digest, Descriptor>> {
  const progress = { stage: "checking" as const, current: 0 };
  const onBytes = (count: number): void => {
    onMoved(count);
    progress.current += count;
    onProgress(progress);
  };
  return await store.findLayers(about.diffIds, namedBlobs(about), { signal, onBytes });
}

/** Returns all layers of the image, bottom first. */
function availableLayers(
  diffIds: readonly Digest[],
  present: ReadonlyMap<Digest, Descriptor>,
  files: readonly LayerFile[],
): AvailableLayer[] {
  const fetched = new Map(files.map((file) => [file.diffId, file]));
  return diffIds.map((diffId) => {
    const file = fetched.get(diffId);
    if (file !== undefined) return file;
    const blob = present.get(diffId);
    if (blob === undefined) throw new Error(`${diffId} was not fetched`);
    return { kind: "present", diffId, blob };
  });
}
