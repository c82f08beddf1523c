import { quoted } from "../../image/tar/entry-path.ts";
import type { ArchivedImage, ArchivedLayer } from "../../image/archive/image-archive.ts";
import type { FileLocation } from "../../image/location.ts";
import type { Reference } from "../../image/reference.ts";
import { plural } from "../../output/describe.ts";
import { Failure } from "../../output/errors.ts";
import { PacedPacker } from "../../packing/paced-packer.ts";
import type { StoredBlob } from "../../registry/embedded/pull/registry-content.ts";
import { NEW_LIST, readFailure } from "./archive-errors.ts";
import { archivedBlob } from "../archived-blob.ts";
import type { OfferOptions } from "../found-image.ts";
import type { LayersByDelta } from "./layers-by-delta.ts";
import type { ServedImage } from "../served-image.ts";
import { describeLayer, wholeArchivedImage } from "./whole-archived-image.ts";

export interface ImageInArchive {
  location: FileLocation;
  image: ArchivedImage;
  /** The receiver's name for the image. */
  name: Reference;
  /** Rebuilds layers of a partial archive. The caller owns it. */
  byDelta: Pick<LayersByDelta, "rebuild">;
}

/**
 * Serves an image from its archive without copying: a layer is read when the receiver fetches it. Throws a Failure if a wanted layer is
 * missing.
 */
export function serveFromArchive(
  { location, image, name, byDelta }: ImageInArchive,
  options: OfferOptions,
): ServedImage {
  const { want, packing } = options;
  refuseAbsent(location, image, ({ diffId, delta }) =>
    want.kind === "image" ? true : delta === undefined && want.diffIds.includes(diffId),
  );
  const manifest = image.manifest?.hasWrongMediaTypes === true ? undefined : image.manifest;
  const broken = new AbortController();
  const onError = (error: unknown): void => broken.abort(readFailure(error, location));
  const packer = packing.codec && new PacedPacker(packing);
  const blobOf = (layer: ArchivedLayer): StoredBlob => archivedBlob(layer, { packer, onError });
  const wanted = new Set(want.diffIds);
  return {
    image: name,
    diffIds: image.diffIds,
    broken: broken.signal,
    toFailure: (error) => readFailure(error, location),
    async exportLayers(outgoing, _registry, signal) {
      try {
        for (const layer of image.layers) {
          if (!wanted.delete(layer.diffId)) continue; // not wanted, or twice in the image
          const whole = await byDelta.rebuild(image, layer);
          await outgoing.addStored(layer.diffId, await describeLayer(whole, signal), blobOf(whole));
        }
        outgoing.finish(image.config, manifest);
      } catch (error) {
        onError(error);
      }
    },
    async wholeImage(offer, _registry, spool) {
      const whole = wholeArchivedImage({ image, manifest, offer }, { spool, blobOf, signal: options.signal });
      return await whole.catch((error: unknown) => {
        throw readFailure(error, location);
      });
    },
  };
}

/** Throws if a wanted layer is not in the archive: the receiver must have the base of an image that was saved without the base. */
function refuseAbsent(
  { path }: FileLocation,
  { layers, partial }: ArchivedImage,
  isWanted: (layer: ArchivedLayer) => boolean,
): void {
  const [layer, ...others] = layers.filter((one) => one.absent !== undefined && isWanted(one));
  if (layer === undefined) return;
  if (partial !== undefined) {
    const lacking = [layer, ...others].map(({ diffId }) => diffId);
    throw new Failure(
      "image-not-found",
      `${path} is a partial archive, without ${plural(lacking.length, "layer")} that the receiving side does not have, or no longer has: ${lacking.join(", ")}`,
      { expected: `an engine with all layers that it had when it was listed, ${partial.listed}`, hint: NEW_LIST },
    );
  }
  const [url] = layer.absent?.urls ?? [];
  throw new Failure(
    "image-not-found",
    `the layer ${layer.diffId} is not in ${path}, and the receiving side does not have it`,
    {
      expected: "each layer on one of the two sides",
      hint:
        url === undefined
          ? "Load or pull the image's base on the receiving side first, or save the image with all of its layers."
          : `It may not be redistributed; its URL is ${quoted(url)}. Pull an image with this layer on the receiving side first.`,
    },
  );
}
