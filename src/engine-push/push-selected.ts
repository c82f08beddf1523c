import type { Digest } from "../image/digest.ts";
import type { Reference } from "../image/reference.ts";
import { Failure } from "../output/errors.ts";
import { deferred, type Deferred } from "../streams/deferred.ts";
import { PushCollector } from "./push-collector.ts";
import { diffIdOf } from "./diff-id-of.ts";
import type { EngineConnection } from "../engine/engine.ts";
import type { EngineImages } from "../engine/engine-images.ts";
import { enginePush, type EnginePushOptions } from "./engine-push.ts";
import type { ProbedImage, SpooledLayer } from "./probe-image.ts";
import type { SpooledBlob } from "../registry/embedded/upload-spool.ts";

export interface PushSelectedOptions extends EnginePushOptions {
  /**
   * Takes a layer over, as soon as it is here, or is known to be coming: then it is not proven before it has been read to its
   * end. Its file is the receiver's to remove. May be called for several before this resolves.
   */
  onLayer: (layer: SpooledLayer) => void;
}

/**
 * Lets an engine push an image again, of which it has been probed what it would push, and takes from it the layers whose digests
 * are `wanted`. They come in the order in which the engine is done with them.
 *
 * A graph driver compresses them anew, so that a layer that it once pulled may come with **another digest** than the wanted one,
 * and Podman's always do. They are known by their diff IDs, which have then been proven.
 *
 * Resolves to the wanted digests that did not come; the reason is told for --verbose. Rejects as {@link enginePush} does, and
 * when a layer broke off that had been taken over.
 */
export async function pushSelected(
  engine: EngineImages & EngineConnection,
  image: Reference,
  probed: ProbedImage,
  wanted: ReadonlySet<Digest>,
  { onLayer, ...options }: PushSelectedOptions,
): Promise<Set<Digest>> {
  const missing = new Map(probed.layers.filter(({ digest }) => wanted.has(digest)).map((it) => [it.diffId, it.digest]));
  const byDigest = new Map(probed.layers.map(({ digest, diffId }) => [digest, diffId]));
  const known = new Set([...probed.skipped, probed.manifest.config.digest]);
  const handedOver: Promise<void>[] = [];
  const coming = new Map<Digest, Deferred<SpooledBlob | undefined>>();
  const handOver = async (blob: SpooledBlob): Promise<void> => {
    const begun = coming.get(blob.digest);
    if (begun !== undefined) return begun.resolve(blob);
    const diffId = byDigest.get(blob.digest) ?? (await diffIdOf(blob, options.signal));
    if (diffId !== undefined && missing.delete(diffId)) onLayer({ ...blob, diffId });
    else await blob.remove();
  };
  const collector = new PushCollector({
    // Not only what is wanted: a graph driver may know several digests for a layer, and goes on to ask for the next.
    wants: (digest) => wanted.has(digest) || !known.has(digest),
    layers: new Set(missing.keys()),
    onArriving(blob) {
      const { digest } = blob;
      const diffId = byDigest.get(digest);
      if (diffId === undefined || !missing.delete(diffId)) return;
      const begun = deferred<SpooledBlob | undefined>();
      coming.set(digest, begun);
      onLayer({ ...blob, diffId, remove: async () => await (await begun.promise)?.remove() });
    },
    onBlob: (blob) => handedOver.push(handOver(blob)),
  });
  if (missing.size === 0) return new Set();
  let why: string | undefined;
  try {
    why = await enginePush(engine, image, collector, options);
  } finally {
    for (const { resolve } of coming.values()) resolve(undefined); // what has not come by now does not come
    await Promise.allSettled(handedOver);
  }
  await Promise.all(handedOver);
  for (const [digest, { promise }] of coming) {
    if ((await promise) !== undefined) continue;
    throw new Failure("transfer-failed", `the engine broke off when it pushed ${digest}: ${why ?? "it said nothing"}`, {
      expected: "all of a layer that it had begun to push",
      hint: "Run the same command again.",
    });
  }
  if (missing.size > 0) {
    options.onDetail?.(`the engine did not push all that was wanted of ${image.given}: ${why ?? "it said nothing"}`);
  }
  return new Set(missing.values());
}
