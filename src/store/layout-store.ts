import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { RunId } from "../run/run-id.ts";
import { refuseAbsentLayers } from "../image/archive/absent-layer.ts";
import { openFolderFiles } from "../image/archive/folder-files.ts";
import { undefinedIfInvalid } from "../image/invalid-image.ts";
import { listOciEntries, readOciImage, type OciImage } from "../image/oci/oci-image.ts";
import { type LayoutName, blobPath } from "../image/oci/oci-layout.ts";
import { openOciLayout } from "../image/oci/open-oci-layout.ts";
import { mapConcurrently } from "../streams/map-concurrently.ts";
import { addImageToIndex, writeImageBlobs } from "../image/oci/write-oci-folder.ts";
import type { Digest } from "../image/digest.ts";
import type { Descriptor, ImageManifest } from "../image/manifest.ts";
import { manifestFor } from "./compose-manifest.ts";
import { verifyBlob, type CheckOptions } from "./verify-blob.ts";
import { withLock } from "./lock.ts";
import { removePartialFiles } from "./partial-file.ts";
import type { AvailableLayer } from "./store.ts";

/** A folder that is, or becomes, an OCI layout, as a place to put images into. */
export class LayoutStore {
  readonly #folder: string;
  readonly #run: RunId;

  constructor(folder: string, run: RunId) {
    this.#folder = folder;
    this.#run = run;
  }

  /**
   * Which of these layers the images of the folder have, by what they hold, whatever they stand on there: a layout has no stacks. Each blob
   * that is told of has been read and is what its name says: the image that is to come will rely on it, and nobody looks at it again. An
   * image that is not what its descriptor says has none. The last images are looked at first, and no more than is needed.
   *
   * Throws `InvalidImage` for an index that is none, and for one without room for another image.
   *
   * @param named by diff ID, which blobs are of use. Left out: any.
   */
  async layers(
    diffIds: readonly Digest[],
    named?: ReadonlyMap<Digest, Digest>,
    checking: CheckOptions = {},
  ): Promise<Map<Digest, Descriptor>> {
    const found = new Map<Digest, Descriptor>();
    const files = openFolderFiles(this.#folder);
    if ((await files.sizeOf("index.json")) === undefined) return found;
    const missing = new Set(diffIds);
    const wrong = new Set<Digest>();
    const entries = (await listOciEntries(files, { willGrow: true })).toReversed();
    const images = mapConcurrently(entries, async (entry) => await undefinedIfInvalid(readOciImage(files, entry)));
    for await (const image of images) {
      checking.onBytes?.(image === undefined ? 0 : image.manifest.bytes.length + image.config.length);
      for (const { diffId, blob } of image?.layers ?? []) {
        if (!missing.has(diffId) || wrong.has(blob.digest)) continue;
        if (named !== undefined && named.get(diffId) !== blob.digest) continue;
        const checked = await verifyBlob(join(this.#folder, blobPath(blob.digest)), blob, checking);
        if (checked === undefined) wrong.add(blob.digest);
        else {
          found.set(diffId, checked);
          missing.delete(diffId);
        }
      }
      if (missing.size === 0) break;
    }
    return found;
  }

  /**
   * Puts an image in, which is not listed yet. The files of its layers are moved. Returns what describes its manifest, which is the one that
   * was sent if it can be, or must be (`keeps`).
   */
  async put(
    config: Buffer,
    layers: readonly AvailableLayer[],
    sent: ImageManifest,
    { keeps = false } = {},
  ): Promise<Descriptor> {
    const manifest = manifestFor(config, layers, sent, { keeps });
    const blobs = layers.flatMap((layer) =>
      layer.kind === "file" ? [{ digest: layer.blob.digest, path: layer.path, size: layer.blob.size }] : [],
    );
    await writeImageBlobs(this.#folder, { config, manifest, blobs }, this.#run);
    return manifest.descriptor;
  }

  /** Lists an image that has been put in; the name moves when another image has it. `onBytes` hears of what is read for that. */
  async list(manifest: Descriptor, name: LayoutName, onBytes?: (count: number) => void): Promise<void> {
    await withLock(join(this.#folder, "index.json"), this.#run, async () => {
      await addImageToIndex(this.#folder, manifest, [name], this.#run, onBytes);
    });
  }

  /** An image by its manifest, listed or not, read from the disk; undefined when a part of it is not there. */
  async read(manifest: Descriptor): Promise<OciImage | undefined> {
    const entry = { names: [], descriptor: manifest };
    const image = await undefinedIfInvalid(readOciImage(openFolderFiles(this.#folder), entry));
    for (const { blob } of image?.layers ?? []) if (!(await this.#holds(blob))) return undefined;
    return image;
  }

  /** An image by a name that the index has. */
  async find(name: string): Promise<{ configDigest: Digest; diffIds: Digest[] }> {
    await using layout = await openOciLayout(openFolderFiles(this.#folder));
    return refuseAbsentLayers(await layout.find(name));
  }

  /** Removes the files that runs which were killed had not finished; says which. */
  async tidy(): Promise<string[]> {
    const blobs = join(this.#folder, "blobs", "sha256");
    return [...(await removePartialFiles(this.#folder)), ...(await removePartialFiles(blobs))];
  }

  async #holds({ digest, size }: Descriptor): Promise<boolean> {
    const found = await stat(join(this.#folder, blobPath(digest))).catch(() => undefined);
    return found?.isFile() === true && found.size === size;
  }
}
