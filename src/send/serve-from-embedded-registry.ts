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

/** An image to serve from the embedded registry, and how its layers are exported. */
export interface ServedImage {
  /** Gives the repository its name. */
  image: Reference;
  /** Bottom first. */
  diffIds: readonly Digest[];
  /** Adds the wanted layers to the outgoing blobs, and finishes them. `signal` tells that the receiver fetches nothing more. */
  exportLayers: (outgoing: OutgoingBlobs, registry: EmbeddedRegistry, signal: AbortSignal) => Promise<void>;
  /** Returns the Failure for a layer that could not be read. */
  toFailure?: (error: unknown) => unknown;
  /** Returns the whole image, for a receiving engine that pulls by itself. */
  wholeImage: (offer: Offer, registry: EmbeddedRegistry, spool: LazySpool) => Promise<RegistryContent>;
}

/** Serves an image from the embedded registry, on streams of the tunnel. */
export async function serveFromEmbeddedRegistry(served: ServedImage, options: OfferOptions): Promise<OfferedImage> {
  const { exportLayers, wholeImage } = served;
  const { env, runIds, want, signal } = options;
  const spool = lazySpool(env, runIds[0]);
  let content: RegistryContent = NO_CONTENT;
  const registry = openRegistry(options, () => content);
  const offer = offerOf(served, registry, options);
  const broken = new AbortController();
  const outgoing = openOutgoingBlobs(offer, spool, broken, served, options);
  const leaving = new AbortController();
  let exporting: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    leaving.abort(new Error("the receiver is done"));
    await outgoing[Symbol.asyncDispose]();
    await exporting;
    await closeRegistry(registry, spool);
  };
  try {
    if (want.kind === "image") content = await wholeImage(offer, registry, spool);
    else {
      content = outgoing.content;
      const stop = AbortSignal.any([signal, leaving.signal]);
      exporting = exportLayers(outgoing, registry, stop).catch((error: unknown) => {
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

async function closeRegistry(registry: EmbeddedRegistry, spool: LazySpool): Promise<void> {
  try {
    await registry[Symbol.asyncDispose]();
  } finally {
    await spool[Symbol.asyncDispose]();
  }
}

/** Opens the registry with content that is replaced later. */
function openRegistry({ env, output, runIds }: OfferOptions, current: () => RegistryContent): EmbeddedRegistry {
  return openEmbeddedRegistry({
    runId: runIds[0],
    parent: cacheFolder(env),
    content: {
      manifest: async (...args) => await current().manifest(...args),
      blob: async (...args) => await current().blob(...args),
      delta: async (...args) => await current().delta?.(...args),
      tags: async (...args) => await current().tags(...args),
    },
    onDetail: (detail) => output.detail(detail),
  });
}

function offerOf({ image }: ServedImage, { credentials }: EmbeddedRegistry, { runIds, want }: OfferOptions): Offer {
  // The engine's temporary names also have this repository, and shorten a long path.
  const { path, tag = "" } = parseReference(temporaryName("127.0.0.1:65535", image.path, runIds));
  return { repository: path, tag, credentials, announced: want.kind === "layers" };
}

function openOutgoingBlobs(
  offer: Offer,
  spool: LazySpool,
  broken: AbortController,
  { diffIds, toFailure = (error) => error }: ServedImage,
  { output, want, configDigest, packing, manifest, announce }: OfferOptions,
): OutgoingBlobs {
  return new OutgoingBlobs({
    offer,
    diffIds,
    configDigest,
    manifest: manifest && withDescriptor(manifest),
    packing,
    begun: new Set(want.kind === "layers" ? want.begun : []),
    deltaSpool: want.kind === "layers" && want.delta ? spool : undefined,
    onNoSpace: (reason) => output.warn({ code: "no-room-for-files", reason }),
    announce,
    onFailure: (error) => broken.abort(layerFailure(toFailure(error), "sent")),
    onDetail: (detail) => output.detail(detail),
  });
}
