import type { Offer } from "../conversation/messages.ts";
import { temporaryName } from "../run/run-id.ts";
import { cacheFolder } from "../files/cache-folder.ts";
import { withDescriptor } from "../image/manifest.ts";
import { parseReference } from "../image/reference.ts";
import { NO_CONTENT, type RegistryContent } from "../registry/embedded/pull/registry-content.ts";
import { openEmbeddedRegistry, type EmbeddedRegistry } from "../registry/embedded/server.ts";
import { lazySpool, type LazySpool } from "../run/spool.ts";
import { layerFailure } from "../store/layer-failure.ts";
import type { OfferedImage, OfferOptions } from "./found-image.ts";
import { OutgoingBlobs } from "./outgoing-blobs.ts";
import type { ServedImage } from "./served-image.ts";

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
      signal: served.broken === undefined ? broken.signal : AbortSignal.any([broken.signal, served.broken]),
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
  return { repository: path, tag, credentials, layers: want.kind === "layers" ? "announced" : "available" };
}

function openOutgoingBlobs(
  offer: Offer,
  spool: LazySpool,
  broken: AbortController,
  { diffIds, sharedDeltas, toFailure = (error) => error }: ServedImage,
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
    sharedDeltas: want.kind === "layers" && want.delta ? sharedDeltas : undefined,
    onNoSpace: (reason) => output.warn({ code: "no-room-for-files", reason }),
    announce,
    onFailure: (error) => broken.abort(layerFailure(toFailure(error), "sent")),
    onDetail: (detail) => output.detail(detail),
  });
}
