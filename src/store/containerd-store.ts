import type { EngineConnection } from "../engine/engine.ts";
import type { EngineImages } from "../engine/engine-images.ts";
import { forgetName } from "../engine/temporary-name.ts";
import { parseConfig } from "../image/config.ts";
import type { Digest } from "../image/digest.ts";
import { InvalidImage } from "../image/invalid-image.ts";
import type { EncodedManifest } from "../image/manifest.ts";
import type { BlobFile } from "../image/oci/oci-layout.ts";
import { streamOciArchive } from "../image/oci/write-oci-archive.ts";
import { composeManifest, manifestFor } from "./compose-manifest.ts";
import type { ContainerdBlobs } from "./containerd-blobs.ts";
import { loadAhead, type FinalImage, type OpenLoad } from "./load-ahead.ts";
import { refuseIncomplete, type ComposedImage } from "./refuse-incomplete.ts";
import type { AvailableLayer, FileStore, ImageToLoad, LayerFile } from "./store.ts";
import type { Platform } from "../image/platform.ts";

export interface ContainerdStoreOptions {
  platform: Platform;
  blobs: Pick<ContainerdBlobs, "present">;
  /** Returns a temporary name for an image of the `count` lowest layers. */
  nameForLowest: (count: number) => string;
}

/**
 * Docker's containerd store. A layer is present if its blob is present, because the blob can be unpacked again. An unpacked layer without
 * its blob is not present. The store loads an OCI archive that lacks present blobs if the manifest names them. Such a manifest is composed
 * from present blobs and from blobs that have arrived.
 */
export function containerdStore(engine: EngineImages & EngineConnection, options: ContainerdStoreOptions): FileStore {
  return {
    takes: "files",
    present: async (diffIds, named) => await options.blobs.present(diffIds, named),
    load: async (image, name) => await new ContainerdLoad(engine, image, options).loadAs(name),
  };
}

/**
 * Stored layers of this many bytes are worth a separate image: the engine unpacks about 60 MB/s with one core, and an image costs 0.1 s.
 */
const AHEAD_MIN = 32_000_000;

class ContainerdLoad {
  readonly #engine: EngineImages & EngineConnection;
  readonly #image: ImageToLoad<LayerFile>;
  readonly #options: ContainerdStoreOptions;
  /** The layers that are present or have arrived, by diff ID. */
  readonly #available: Map<Digest, AvailableLayer>;

  constructor(engine: EngineImages & EngineConnection, image: ImageToLoad<LayerFile>, options: ContainerdStoreOptions) {
    this.#engine = engine;
    this.#image = image;
    this.#options = options;
    this.#available = new Map([...image.lowest, ...image.others].map((layer) => [layer.diffId, layer]));
  }

  /** Loads the image, and returns the digest of its manifest. */
  async loadAs(name: string): Promise<Digest> {
    const engine = this.#engine;
    const config = await loadAhead(this.#image, name, {
      load: (layers, finish) => this.#load(layers, finish),
      nameForLowest: engine.takesManyAtOnce ? this.#options.nameForLowest : undefined,
      minBytes: AHEAD_MIN,
      removeName: async (lowest) => await forgetName(engine, lowest),
    });
    return this.#manifestOf(config).descriptor.digest;
  }

  #load(layers: AsyncIterable<LayerFile>, finish: () => Promise<FinalImage>): OpenLoad {
    let failure: { error: unknown } | undefined;
    let composed: ComposedImage | undefined;
    const archive = streamOciArchive({
      blobs: this.#blobsOf(layers),
      finish: async () => {
        const { config, name } = await finish();
        composed = { config, layers: this.#layersOf(config), name };
        return { config, manifest: this.#manifestOf(config), names: [name] };
      },
      onError: (error) => (failure ??= { error }),
    });
    const loaded = async (): Promise<void> => {
      try {
        await this.#engine.loadImage(archive, this.#options.platform, this.#image.onProgress);
        if (composed !== undefined) await refuseIncomplete(this.#engine, composed);
      } catch (error) {
        throw failure === undefined ? error : failure.error;
      }
      if (failure !== undefined) throw failure.error;
    };
    // A load that the engine has begun is not interrupted. Instead, the archive ends without an image in it.
    return { loaded: loaded(), abort: () => {} };
  }

  async *#blobsOf(layers: AsyncIterable<LayerFile>): AsyncGenerator<BlobFile> {
    for await (const layer of layers) {
      // A layer that occurs twice may already be present. In that case, the manifest names the verified blob.
      if (!this.#available.has(layer.diffId)) this.#available.set(layer.diffId, layer);
      yield { digest: layer.blob.digest, path: layer.path, size: layer.size };
    }
  }

  #layersOf(config: Buffer): AvailableLayer[] {
    return parseConfig(config).diffIds.map((diffId) => {
      const layer = this.#available.get(diffId);
      if (layer === undefined) throw new InvalidImage("the layers are not those of the config");
      return layer;
    });
  }

  /** Preserves the sender's manifest for the image itself. Images of its lowest layers get composed manifests. */
  #manifestOf(config: Buffer): EncodedManifest {
    const { manifest } = this.#image;
    const layers = this.#layersOf(config);
    return manifest === undefined
      ? composeManifest(config, layers)
      : manifestFor(config, layers, manifest, { preserve: true });
  }
}
