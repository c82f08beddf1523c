import type { EngineConnection } from "../engine/engine.ts";
import type { EngineImages } from "../engine/engine-images.ts";
import { forgetName } from "../engine/temporary-name.ts";
import type { BlobFile } from "../image/oci/oci-layout.ts";
import { streamOciArchive } from "../image/oci/write-oci-archive.ts";
import type { Digest } from "../image/digest.ts";
import { type EncodedManifest } from "../image/manifest.ts";
import { composeManifest, manifestFor } from "./compose-manifest.ts";
import type { ContainerdBlobs } from "./containerd-blobs.ts";
import { loadAhead } from "./load-ahead.ts";
import { refuseIncomplete, type ComposedImage } from "./refuse-incomplete.ts";
import type { ImageToLoad, FileStore, LayerFile, AvailableLayer } from "./store.ts";
import { InvalidImage } from "../image/invalid-image.ts";
import { parseConfig } from "../image/config.ts";

export interface ContainerdStoreOptions {
  platform: string;
  /** What is known of its blobs. */
  blobs: Pick<ContainerdBlobs, "present">;
  /** A temporary name for an image of so many of the lowest layers. */
  nameForLowest: (count: number) => string;
}

/**
 * Docker's containerd image store: a layer is there when its blob is, which can be unpacked (again); one that is unpacked is not
 * enough. It takes an OCI layout that leaves out blobs, if the manifest names the digests that it really holds: such a manifest is
 * composed here, of its own blobs and of those that have arrived.
 */
export function containerdStore(engine: EngineImages & EngineConnection, options: ContainerdStoreOptions): FileStore {
  return {
    takes: "files",
    present: async (diffIds, named) => await options.blobs.present(diffIds, named),
    load: async (delivery, name) => await loadLayers(engine, delivery, name, options),
  };
}

/** Bytes, as they are stored: the engine unpacks some 60 MB/s of them, with one core, and an image more costs it 0.1 s. */
const WORTH_IT = 32_000_000;

async function loadLayers(
  engine: EngineImages & EngineConnection,
  delivery: ImageToLoad<LayerFile>,
  name: string,
  { platform, nameForLowest }: ContainerdStoreOptions,
): Promise<Digest> {
  const known = new Map<Digest, AvailableLayer>(
    [...delivery.here, ...delivery.stored].map((layer) => [layer.diffId, layer]),
  );
  const inHand = (config: Buffer): AvailableLayer[] =>
    parseConfig(config).diffIds.map((diffId) => {
      const layer = known.get(diffId);
      if (layer === undefined) throw new InvalidImage("these are not the layers of its config");
      return layer;
    });
  /** Of the image itself, and not of one of its lowest layers, the manifest may be told. */
  const writtenFor = (config: Buffer): EncodedManifest => {
    const { manifest } = delivery;
    return manifest === undefined
      ? composeManifest(config, inHand(config))
      : manifestFor(config, inHand(config), manifest, { keeps: true });
  };
  async function* blobsOf(layers: AsyncIterable<LayerFile>): AsyncGenerator<BlobFile> {
    for await (const layer of layers) {
      // It may be here already, where an image has it twice: then that blob is the one that has been proven.
      if (!known.has(layer.diffId)) known.set(layer.diffId, layer);
      yield { digest: layer.blob.digest, path: layer.path, size: layer.size };
    }
  }
  const image = await loadAhead(delivery, name, {
    load(layers, finish) {
      let failure: { error: unknown } | undefined;
      let image: ComposedImage | undefined;
      const archive = streamOciArchive({
        blobs: blobsOf(layers),
        async finish() {
          const { config, name: called } = await finish();
          image = { config, layers: inHand(config), name: called };
          return { config, manifest: writtenFor(config), names: [called] };
        },
        onError: (error) => (failure ??= { error }),
      });
      const loaded = async (): Promise<void> => {
        try {
          await engine.loadImage(archive, platform);
          if (image !== undefined) await refuseIncomplete(engine, image);
        } catch (error) {
          throw failure === undefined ? error : failure.error;
        }
        if (failure !== undefined) throw failure.error;
      };
      // What the engine has begun to take in is not interrupted: the archive ends without an image in it.
      return { loaded: loaded(), breakOff: () => {} };
    },
    nameForLowest: engine.takesManyAtOnce ? nameForLowest : undefined,
    worthIt: WORTH_IT,
    forget: async (lowest) => await forgetName(engine, lowest),
  });
  return writtenFor(image).descriptor.digest;
}
