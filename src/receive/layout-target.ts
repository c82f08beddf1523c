import { newRunId } from "../run/run-id.ts";
import { digestOf } from "../image/digest.ts";
import type { Descriptor } from "../image/manifest.ts";
import type { FileLocation } from "../image/location.ts";
import type { Reference } from "../image/reference.ts";
import { LayoutStore } from "../store/layout-store.ts";
import { openSpool } from "../run/spool.ts";
import type { AvailableLayer } from "../store/store.ts";
import { countLayers, namedBlobs, type ReceivedImage, type ReceiveOptions } from "./received-image.ts";
import { nameInFile } from "./name-in-file.ts";
import { withLocationErrors } from "./location-errors.ts";
import { refuseLayoutLocation } from "./refuse-location.ts";
import { receive } from "./fetch-image.ts";
import { findDeltaBasesInFile } from "../rebuild/delta-bases-in-file.ts";
import type { Target } from "./target.ts";

/** A folder that is, or becomes, an OCI layout; no engine is needed. Its images go by their manifests until they are listed. */
export async function layoutTarget(location: FileLocation): Promise<Target> {
  await refuseLayoutLocation(location);
  const store = new LayoutStore(location.path, newRunId());
  const arrived = new Map<string, { manifest: Descriptor; image: Reference }>();
  const explaining = withLocationErrors(location);
  let moved = 0;
  const onMoved = (bytes: number): void => void (moved += bytes);
  return {
    address: location.path,
    get moved() {
      return moved;
    },
    nameFor: (image) => nameInFile(location, image).ref,
    tidy: async () => await store.tidy(),
    async receive(options) {
      const { manifest, image } = await explaining(receiveInto(location, store, options, onMoved));
      arrived.set(image.name, { manifest, image: options.image });
      return image;
    },
    async inspect(name) {
      const manifest = arrived.get(name)?.manifest;
      const found = await explaining(manifest === undefined ? store.find(name) : store.read(manifest));
      return found && { id: found.configDigest, diffIds: found.diffIds };
    },
    async manifestOf(name) {
      const manifest = arrived.get(name)?.manifest;
      return manifest && (await explaining(store.read(manifest)))?.manifest.descriptor.digest;
    },
    async tag(from) {
      const found = arrived.get(from);
      if (found === undefined) throw new Error(`${from} has not arrived`);
      await explaining(store.listImage(found.manifest, nameInFile(location, found.image), onMoved));
    },
    [Symbol.asyncDispose]: async () => {},
  };
}

/** Brings the layers that no image of the folder has, and puts them in. */
async function receiveInto(
  location: FileLocation,
  store: LayoutStore,
  options: ReceiveOptions,
  onMoved: (bytes: number) => void,
): Promise<{ manifest: Descriptor; image: ReceivedImage }> {
  const { about, env, run, signal, onProgress, noDeltaReason } = options;
  const checked = { stage: "checking", current: 0 };
  const onBytes = (count: number): void => {
    onMoved(count);
    checked.current += count;
    onProgress(checked);
  };
  const here = await store.findLayers(about.diffIds, namedBlobs(about), { signal, onBytes });
  const wanted = about.diffIds.filter((diffId) => !here.has(diffId));
  await using deltaBases =
    noDeltaReason === undefined && wanted.length > 0 ? await findDeltaBasesInFile(location, about) : undefined;
  await using spool = await openSpool(env, run);
  const { config, files, manifest: sent, bytesFound } = await receive(options, wanted, spool, deltaBases);

  signal.throwIfAborted();
  onProgress({ stage: "storing", current: 0 });
  const come = new Map(files.map((file) => [file.diffId, file]));
  const layers = about.diffIds.map((diffId): AvailableLayer => {
    const layer = come.get(diffId) ?? { kind: "present" as const, diffId, blob: here.get(diffId) };
    if (layer.blob === undefined) throw new Error(`${diffId} has not come`);
    return layer as AvailableLayer;
  });
  const manifest = await store.addBlobs(config, layers, sent, { preserve: about.manifest !== undefined });
  const counts = countLayers(
    layers.map(({ blob }) => blob?.size ?? 0),
    layers.map(({ kind }) => kind === "file"),
  );
  // Blobs that nothing lists are no harm, and of use to the next run.
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
