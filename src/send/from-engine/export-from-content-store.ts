import { Readable } from "node:stream";
import { BlobGone, type ContentStore } from "../../engine/content-store.ts";
import { EngineError } from "../../engine/engine-error.ts";
import type { Digest } from "../../image/digest.ts";
import { withDescriptor, type Descriptor } from "../../image/manifest.ts";
import { Failure, messageOf } from "../../output/errors.ts";
import { PacedPacker } from "../../packing/paced-packer.ts";
import type { ByteRange, StoredBlob } from "../../registry/embedded/pull/registry-content.ts";
import { deferred } from "../../streams/deferred.ts";
import { unlessReaderLeft } from "../archived-blob.ts";
import type { EngineOfferOptions, StoredImage } from "./engine-offer-options.ts";
import type { OutgoingLayers } from "../outgoing-layers.ts";
import { InvalidImage } from "../../image/invalid-image.ts";

/**
 * Exports the wanted layers as the blobs of the engine's content store. Each blob is read when the receiver fetches it, from the byte that
 * the receiver requests, and several can be read at a time. Nothing is copied, and other layers are not read. Returns false if the manifest
 * has another number of layers than the image.
 *
 * Resolves when `options.signal` is aborted because the receiver fetches nothing more. Rejects if a layer cannot be read.
 */
export async function exportFromContentStore(
  outgoing: OutgoingLayers,
  { content, manifest, config }: StoredImage,
  options: EngineOfferOptions,
): Promise<boolean> {
  const { info, want, packing, image, signal } = options;
  if (manifest.layers.length !== info.diffIds.length) return false;
  const broken = deferred<never>();
  broken.promise.catch(() => {}); // awaited below
  const onError = unlessReaderLeft(broken.reject);
  const packer = packing.codec && new PacedPacker(packing);
  const blobOf = (diffId: Digest, blob: Descriptor): StoredBlob => {
    const open = (range?: ByteRange): Readable => openBlob(content, blob, range, signal).on("error", onError);
    const packed = (first: number) => ({
      first,
      stream: Readable.from(packer?.pack(open({ first, last: blob.size - 1 })) ?? [], { objectMode: false }),
    });
    return { size: blob.size, open, ...(packer !== undefined && blob.digest === diffId && { packed }) };
  };
  try {
    const wanted = new Set(want.diffIds);
    for (const [index, diffId] of info.diffIds.entries()) {
      const blob = manifest.layers[index];
      if (blob === undefined || !wanted.delete(diffId)) continue; // the layer is not wanted, or occurs twice in the image
      await outgoing.addStored(diffId, blob, blobOf(diffId, blob));
    }
    outgoing.finish(config, withDescriptor(manifest));
    await Promise.race([broken.promise, aborted(signal)]);
    return true;
  } catch (error) {
    signal.throwIfAborted();
    throw storedLayerFailure(error, image.given);
  }
}

function openBlob(
  content: ContentStore,
  { digest, size }: Descriptor,
  { first, last }: ByteRange = { first: 0, last: size - 1 },
  signal: AbortSignal,
): Readable {
  const bytes = content.read(digest, { size, from: first, length: last - first + 1, signal });
  return Readable.from(bytes, { objectMode: false });
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
}

/** Returns the Failure for a layer that was in the engine a moment ago but cannot be read. Returns any other error unchanged. */
export function storedLayerFailure(error: unknown, image: string): unknown {
  if (!(error instanceof BlobGone || error instanceof EngineError || error instanceof InvalidImage)) return error;
  return new Failure("transfer-failed", `a layer of ${image} can no longer be read: ${messageOf(error)}`, {
    expected: "the image to stay in the engine until it has been sent",
    hint: "Check with `docker images` whether it has been removed in the meantime, then run the same command again.",
    cause: error,
  });
}
