import { temporaryName } from "../engine/run-id.ts";
import { spoolParent } from "../engine/spool-folder.ts";
import type { Offer } from "../conversation.ts";
import { parseReference } from "../image/reference.ts";
import { digestOf } from "../image/digest.ts";
import { MEDIA_TYPE, writeManifest, type Descriptor } from "../image/manifest.ts";
import { NO_CONTENT, type RegistryContent, type StoredBlob } from "../registry/embedded/content.ts";
import { enginePush } from "../registry/embedded/engine-push.ts";
import { KeptPush } from "../registry/embedded/kept-push.ts";
import { openEmbeddedRegistry, type EmbeddedRegistry } from "../registry/embedded/server.ts";
import { Failure } from "../output/errors.ts";
import { openSpool, spoolFailure } from "../store/spool.ts";
import { collectLayers, type Collected } from "./collect-layers.ts";
import type { Departure, EngineDepartureOptions } from "./departure.ts";

/**
 * A registry in this process: no container, nothing to download, and of the image just what is wanted. It answers on the
 * tunnel's streams; a port of 127.0.0.1 is open only while the engine pushes.
 */
export async function departEmbedded(options: EngineDepartureOptions): Promise<Departure> {
  const { env, output, runs, image, want } = options;
  const spool = await openSpool(env, runs[0]);
  let content: RegistryContent = NO_CONTENT;
  const registry = await openEmbeddedRegistry({
    run: runs[0],
    parent: spoolParent(env),
    content: {
      manifest: async (...of) => await content.manifest(...of),
      blob: async (...of) => await content.blob(...of),
      tags: async (...of) => await content.tags(...of),
    },
    onDetail: (text) => output.detail(text),
  });
  // As the engine's temporary names have it, which shorten a long path.
  const { path, tag = "" } = parseReference(temporaryName("127.0.0.1:65535", image.path, runs));
  const offer: Offer = { repository: path, tag, credentials: registry.credentials };
  const close = async (): Promise<void> => {
    try {
      await registry[Symbol.asyncDispose]();
    } finally {
      await spool[Symbol.asyncDispose]();
    }
  };
  try {
    if (want.whole) content = await pushWhole(registry, offer, options);
    else content = contentOf(offer, await collectLayers(registry, spool, options), options);
    return {
      offer,
      accept: (stream) => registry.accept(stream),
      signal: new AbortController().signal,
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    await close();
    throw spoolFailure(error, "sent");
  }
}

/** For an engine that pulls by itself: everything, as the engine pushes it. */
async function pushWhole(
  registry: EmbeddedRegistry,
  { repository }: Offer,
  { engine, image, info, runs, onlyPlatform, signal, output, onProgress }: EngineDepartureOptions,
): Promise<RegistryContent> {
  const kept = new KeptPush(repository);
  onProgress({ stage: "preparing", current: 0 });
  const party = { policy: kept, giveUp: new AbortController().signal };
  const only = onlyPlatform ? { platform: info.platform } : {};
  const why = await enginePush(engine, image, party, {
    registry,
    runs,
    ...only,
    signal,
    onDetail: (text) => output.detail(text),
  });
  if (why === undefined) return kept.content;
  throw new Failure("registry-unavailable", `the engine could not push ${image.given} to this process: ${why}`, {
    expected: "an engine that reaches 127.0.0.1 of the machine that docker-over-ssh runs on",
    hint: "Leave --via pull out on the receiving side.",
  });
}

/**
 * The collected layers as a registry. The manifest names every layer; those that nobody wanted stand there by their diff ID, and
 * cannot be had.
 */
function contentOf(offer: Offer, { config, layers }: Collected, { info }: EngineDepartureOptions): RegistryContent {
  const blobs = new Map<string, StoredBlob>();
  const configDigest = digestOf(config.bytes);
  blobs.set(configDigest, config.blob);
  const descriptors = info.diffIds.map((diffId): Descriptor => {
    const layer = layers.get(diffId);
    if (layer === undefined) return { mediaType: MEDIA_TYPE.ociLayer, digest: diffId, size: 0 };
    blobs.set(layer.descriptor.digest, layer.blob);
    return layer.descriptor;
  });
  const { bytes, descriptor } = writeManifest({
    mediaType: MEDIA_TYPE.ociManifest,
    config: { mediaType: MEDIA_TYPE.ociConfig, digest: configDigest, size: config.bytes.length },
    layers: descriptors,
  });
  const isOurs = (repository: string): boolean => repository === offer.repository;
  return {
    manifest: async (repository, reference) =>
      isOurs(repository) && (reference === offer.tag || reference === descriptor.digest)
        ? { ...descriptor, bytes }
        : undefined,
    blob: async (repository, digest) => (isOurs(repository) ? blobs.get(digest) : undefined),
    tags: async (repository) => (isOurs(repository) ? [offer.tag] : undefined),
  };
}
