import type { Engine } from "../engine/engine.ts";
import { EngineError } from "../engine/engine.ts";
import { writeOciLayout } from "../image/archive/write-oci-layout.ts";
import type { Descriptor } from "../image/manifest.ts";
import { composeManifest } from "./compose.ts";
import { findRelatives, type Relative } from "./chains.ts";
import type { Delivery, LayerInHand, FileStore } from "./store.ts";
import { storedManifest } from "./stored-blobs.ts";

export interface ContainerdStoreOptions {
  platform: string;
  /** A name that nobody else uses, for trials; removed each time. */
  trialName: string;
  /** The blobs of an image in this store, bottom layer first, as a push tells them; undefined when it does not. */
  blobsOf(id: string): Promise<Descriptor[] | undefined>;
  onDetail: (text: string) => void;
}

/**
 * Docker's containerd image store: a layer is there when it is unpacked (by chain ID) and its blob is there (by digest). It
 * takes an OCI layout that leaves out blobs, if the manifest names the digests that it really holds: such a manifest is
 * composed here, of its own blobs and of those that have arrived.
 */
export function containerdStore(engine: Engine, options: ContainerdStoreOptions): FileStore {
  return {
    takes: "files",
    async present(diffIds) {
      const relatives = await findRelatives(engine, diffIds);
      const shared = relatives[0]?.shared ?? 0;
      for await (const blobs of stacks(relatives)) {
        for (let count = blobs.length; count > 0; count = Math.floor(count / 2)) {
          const layers = blobs
            .slice(0, count)
            .map((blob, index) => ({ kind: "here" as const, diffId: diffIds[index] ?? "", blob }));
          if (await holds(layers)) return layers;
        }
      }
      if (shared > 0)
        options.onDetail("layers are unpacked here whose blobs cannot be proven to be here: they are sent");
      return [];
    },
    load: async (delivery, name) => await loadComposed(engine, delivery, name),
  };

  /** What the blobs of the shared layers may be: those of the nearest relatives. */
  async function* stacks(relatives: Relative[]): AsyncGenerator<Descriptor[]> {
    const { platform, trialName } = options;
    const shared = relatives[0]?.shared ?? 0;
    for (const { id } of relatives.filter((relative) => relative.shared === shared).slice(0, MAX_PROBES)) {
      const blobs = (await options.blobsOf(id)) ?? (await storedManifest(engine, id, platform, trialName))?.layers;
      if (blobs !== undefined && blobs.length >= shared) yield blobs.slice(0, shared);
    }
  }

  /**
   * Whether the store holds these layers, blobs and all: an image of just them, of which nothing but config and manifest is
   * sent, is loaded under a name of its own and looked at. Nobody says so directly: with `?platform=` (API 1.48) the load of
   * an incomplete image fails, 26.1 leaves it out of the list, and others list it without the size of what is not there.
   */
  async function holds(layers: LayerInHand[]): Promise<boolean> {
    const [os, architecture, variant] = options.platform.split("/");
    const rootfs = { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) };
    const config = Buffer.from(JSON.stringify({ architecture, os, ...(variant && { variant }), config: {}, rootfs }));
    try {
      await loadComposed(engine, { config, platform: options.platform, layers }, options.trialName);
      return true;
    } catch (error) {
      if (error instanceof EngineError) return false;
      throw error;
    } finally {
      await engine.removeReference(options.trialName).catch(() => {}); // the next run does it
    }
  }
}

/** Images with the same shared layers that are asked for their blobs: more only repeat the answer. */
const MAX_PROBES = 2;

/** Loads an image whose manifest names, for each layer, the blob that is here or the one that comes along. */
async function loadComposed(engine: Engine, { config, platform, layers }: Delivery, name: string): Promise<void> {
  const manifest = composeManifest(config, layers);
  const files = layers.flatMap((layer) =>
    layer.kind === "file" ? [{ digest: layer.blob.digest, path: layer.path, size: layer.blob.size }] : [],
  );
  await engine.loadImage(writeOciLayout({ config, manifest, blobs: files, names: [name] }), platform);
  const size = (await engine.listedSize(name)) ?? 0;
  const needed = layers.reduce((all, { blob }) => all + (blob?.size ?? 0), 0);
  if (size < needed) throw new EngineError(`the engine has ${size} bytes of the image, of ${needed}`);
}
