import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { RunId } from "../run/run-id.ts";
import { parseArchivedName } from "../image/archived-name.ts";
import { refuseAbsentLayers } from "../image/archive/absent-layer.ts";
import { openFolderFiles } from "../image/archive/folder-files.ts";
import { undefinedIfInvalid } from "../image/invalid-image.ts";
import { readOciImage, type OciImage } from "../image/oci/oci-image.ts";
import { type LayoutName, blobPath } from "../image/oci/oci-layout.ts";
import { openOciLayout } from "../image/oci/open-oci-layout.ts";
import type { Leftover } from "../output/details.ts";
import { mapConcurrently } from "../streams/map-concurrently.ts";
import { addImageToIndex, writeImageBlobs } from "../image/oci/write-oci-folder.ts";
import type { Digest } from "../image/digest.ts";
import type { Descriptor, ImageManifest } from "../image/manifest.ts";
import { manifestFor } from "./compose-manifest.ts";
import { verifyBlob, type VerifyOptions } from "./verify-blob.ts";
import { withLock } from "../run/lock.ts";
import { removePartialFiles } from "../run/partial-file.ts";
import type { AvailableLayer } from "./store.ts";
import { listOciEntries } from "../image/oci/oci-entries.ts";

/** A folder that is or becomes an OCI layout, as a target. */
export class LayoutStore {
  readonly #folder: string;
  readonly #runId: RunId;

  constructor(folder: string, runId: RunId) {
    this.#folder = folder;
    this.#runId = runId;
  }

  /**
   * Finds layers in the images of the folder by diff ID, whatever the layers below them, and verifies their blobs, because the incoming
   * image uses them without another check. Reads no more images than necessary, the last added first. Ignores an invalid image.
   *
   * Throws `InvalidImage` if the index is invalid, or has no space for another image.
   *
   * @param named the blobs of a manifest to preserve, by diff ID; no other blobs count. If undefined, any blob counts.
   * @returns the blobs by diff ID
   */
  async findLayers(
    diffIds: readonly Digest[],
    named?: ReadonlyMap<Digest, Digest>,
    verifyOptions: VerifyOptions = {},
  ): Promise<Map<Digest, Descriptor>> {
    const found = new Map<Digest, Descriptor>();
    const files = openFolderFiles(this.#folder);
    if ((await files.sizeOf("index.json")) === undefined) return found;
    const missing = new Set(diffIds);
    const invalid = new Set<Digest>();
    const entries = (await listOciEntries(files, { willGrow: true })).toReversed();
    const images = mapConcurrently(entries, async (entry) => await undefinedIfInvalid(readOciImage(files, entry)));
    for await (const image of images) {
      verifyOptions.onBytes?.(image === undefined ? 0 : image.manifest.bytes.length + image.config.length);
      for (const { diffId, blob } of image?.layers ?? []) {
        if (!missing.has(diffId) || invalid.has(blob.digest)) continue;
        if (named !== undefined && named.get(diffId) !== blob.digest) continue;
        const verified = await verifyBlob(join(this.#folder, blobPath(blob.digest)), blob, verifyOptions);
        if (verified === undefined) invalid.add(blob.digest);
        else {
          found.set(diffId, verified);
          missing.delete(diffId);
        }
      }
      if (missing.size === 0) break;
    }
    return found;
  }

  /**
   * Adds the blobs of an image without listing it in the index. Moves the files of its layers. Returns the descriptor of its manifest,
   * which is the sender's manifest if possible ({@link manifestFor}).
   */
  async addBlobs(
    config: Buffer,
    layers: readonly AvailableLayer[],
    sent: ImageManifest,
    { preserve = false } = {},
  ): Promise<Descriptor> {
    const manifest = manifestFor(config, layers, sent, { preserve });
    const blobs = layers.flatMap((layer) =>
      layer.kind === "file" ? [{ digest: layer.blob.digest, path: layer.path, size: layer.blob.size }] : [],
    );
    await writeImageBlobs(this.#folder, { config, manifest, blobs }, this.#runId);
    return manifest.descriptor;
  }

  /**
   * Lists an image in the index under these names, and removes the names from other images. `onBytes` receives the number of bytes read for
   * that.
   */
  async listImage(
    manifest: Descriptor,
    names: readonly LayoutName[],
    onBytes?: (count: number) => void,
  ): Promise<void> {
    await withLock(join(this.#folder, "index.json"), this.#runId, async () => {
      await addImageToIndex(this.#folder, manifest, names, this.#runId, onBytes);
    });
  }

  /** Reads an image by its manifest, listed or not; undefined when a part of it is missing. */
  async read(manifest: Descriptor): Promise<OciImage | undefined> {
    const entry = { names: [], descriptor: manifest };
    const image = await undefinedIfInvalid(readOciImage(openFolderFiles(this.#folder), entry));
    for (const { blob } of image?.layers ?? []) if (!(await this.#holds(blob))) return undefined;
    return image;
  }

  /** Finds an image by a name in the index. */
  async find(name: string): Promise<{ configDigest: Digest; diffIds: Digest[] }> {
    await using layout = await openOciLayout(openFolderFiles(this.#folder));
    return refuseAbsentLayers(await layout.find(parseArchivedName(name)));
  }

  /** Removes the partial files of killed runs, and returns them. */
  async removeLeftovers(): Promise<Leftover[]> {
    const blobs = join(this.#folder, "blobs", "sha256");
    return [...(await removePartialFiles(this.#folder)), ...(await removePartialFiles(blobs))];
  }

  async #holds({ digest, size }: Descriptor): Promise<boolean> {
    const found = await stat(join(this.#folder, blobPath(digest))).catch(() => undefined);
    return found?.isFile() === true && found.size === size;
  }
}
