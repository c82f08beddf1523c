import { Readable } from "node:stream";
import { BlobGone, type ContentStore } from "../engine/content-store.ts";
import { EngineError } from "../engine/engine-error.ts";
import type { Digest } from "../image/digest.ts";
import { withDescriptor, type Descriptor } from "../image/manifest.ts";
import { Failure, messageOf } from "../output/errors.ts";
import { PacedPacker } from "../packing/paced-packer.ts";
import type { ByteRange, StoredBlob } from "../registry/embedded/registry-content.ts";
import { deferred } from "../streams/deferred.ts";
import { unlessLeft } from "./archived-blob.ts";
import type { EngineOfferOptions, StoredImage } from "./found-image.ts";
import type { OutgoingBlobs } from "./outgoing-blobs.ts";
import { InvalidImage } from "../image/invalid-image.ts";

/**
 * Puts the wanted layers on the shelf as the blobs that the engine's content store has, each read when the receiver fetches it, from
 * where it wants it, several at once: nothing is copied, and nothing is asked of the engine for the others. False when the manifest is
 * not of that image.
 *
 * Resolves when nobody will fetch them any more; rejects when one of them cannot be read.
 */
export async function exportFromContentStore(
  outgoing: OutgoingBlobs,
  { content, manifest: stored, config }: StoredImage,
  options: EngineOfferOptions,
): Promise<boolean> {
  const { info, want, packing, image, signal } = options;
  if (stored.layers.length !== info.diffIds.length) return false;
  const broken = deferred<never>();
  broken.promise.catch(() => {}); // awaited below
  const onError = unlessLeft(broken.reject);
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
      const blob = stored.layers[index];
      if (blob === undefined || !wanted.delete(diffId)) continue; // not wanted, or twice in the image
      await outgoing.keep(diffId, blob, blobOf(diffId, blob));
    }
    outgoing.finish(config, withDescriptor(stored));
    await Promise.race([broken.promise, aborted(signal)]);
    return true;
  } catch (error) {
    signal.throwIfAborted();
    throw lost(error, image.given);
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

/** What a layer could not be read for, as a person should be told it: the image was there a moment ago. */
export function lost(error: unknown, image: string): unknown {
  if (!(error instanceof BlobGone || error instanceof EngineError || error instanceof InvalidImage)) return error;
  return new Failure("transfer-failed", `a layer of ${image} cannot be read any more: ${messageOf(error)}`, {
    expected: "the image to stay in the engine as it is until it has been sent",
    hint: "See whether it was removed meanwhile (docker images), then run the same command again.",
    cause: error,
  });
}
