import type { Offer } from "../conversation/messages.ts";
import { temporaryName } from "../run/run-id.ts";
import { cacheFolder } from "../files/cache-folder.ts";
import type { Digest } from "../image/digest.ts";
import { withDescriptor } from "../image/manifest.ts";
import { parseReference, type Reference } from "../image/reference.ts";
import { NO_CONTENT, type RegistryContent } from "../registry/embedded/registry-content.ts";
import { openEmbeddedRegistry, type EmbeddedRegistry } from "../registry/embedded/server.ts";
import { lazySpool, type LazySpool } from "../run/spool.ts";
import { layerFailure } from "../store/layer-failure.ts";
import type { OfferedImage, OfferOptions } from "./found-image.ts";
import { OutgoingBlobs } from "./outgoing-blobs.ts";

/** An image that is served from this process, and how it is got out of its place. */
export interface Served {
  /** Its repository is called after it. */
  image: Reference;
  /** Bottom first. */
  diffIds: readonly Digest[];
  /** Puts the wanted layers on the shelf, and finishes it. `signal`: nobody waits for them any more. */
  fill: (outgoing: OutgoingBlobs, registry: EmbeddedRegistry, signal: AbortSignal) => Promise<void>;
  /** What a layer could not be read for, as a person should be told it. */
  explain?: (error: unknown) => unknown;
  /** All of it, for an engine that pulls by itself. */
  whole: (offer: Offer, registry: EmbeddedRegistry, spool: LazySpool) => Promise<RegistryContent>;
}

/** Serves an image from a registry in this process, on the tunnel's streams. */
export async function serve(
  { image, diffIds, fill, explain = (error) => error, whole }: Served,
  { env, output, runs, want, configDigest, packing, manifest, announce, signal }: OfferOptions,
): Promise<OfferedImage> {
  const spool = lazySpool(env, runs[0]);
  let content: RegistryContent = NO_CONTENT;
  const registry = openEmbeddedRegistry({
    run: runs[0],
    parent: cacheFolder(env),
    content: {
      manifest: async (...of) => await content.manifest(...of),
      blob: async (...of) => await content.blob(...of),
      cut: async (...of) => await content.cut?.(...of),
      tags: async (...of) => await content.tags(...of),
    },
    onDetail: (text) => output.detail(text),
  });
  // As the engine's temporary names have it, which shorten a long path.
  const { path, tag = "" } = parseReference(temporaryName("127.0.0.1:65535", image.path, runs));
  const offer: Offer = { repository: path, tag, credentials: registry.credentials, announced: want.kind === "layers" };
  const broken = new AbortController();
  const outgoing = new OutgoingBlobs({
    offer,
    diffIds,
    configDigest,
    manifest: manifest && withDescriptor(manifest),
    packing,
    begun: new Set(want.kind === "layers" ? want.begun : []),
    cutInto: want.kind === "layers" && want.delta ? spool : undefined,
    onNoRoom: ({ message }) => output.warn({ code: "no-room-for-files", reason: message }),
    announce,
    onFailure: (error) => broken.abort(layerFailure(explain(error), "sent")),
    onDetail: (text) => output.detail(text),
  });
  const leaving = new AbortController();
  let filling: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    leaving.abort(new Error("the receiver is done"));
    await outgoing[Symbol.asyncDispose]();
    await filling;
    try {
      await registry[Symbol.asyncDispose]();
    } finally {
      await spool[Symbol.asyncDispose]();
    }
  };
  try {
    if (want.kind === "image") content = await whole(offer, registry, spool);
    else {
      content = outgoing.content;
      filling = fill(outgoing, registry, AbortSignal.any([signal, leaving.signal])).catch((error: unknown) => {
        broken.abort(layerFailure(error, "sent"));
      });
    }
    return {
      offer,
      accept: (stream) => registry.accept(stream),
      signal: broken.signal,
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    await close();
    throw layerFailure(error, "sent");
  }
}
