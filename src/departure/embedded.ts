import { temporaryName } from "../engine/run-id.ts";
import { spoolParent } from "../engine/spool-folder.ts";
import type { Offer } from "../conversation.ts";
import { parseReference } from "../image/reference.ts";
import { commonCodec } from "../packing/codecs.ts";
import { NO_CONTENT, type RegistryContent } from "../registry/embedded/content.ts";
import { enginePush } from "../registry/embedded/engine-push.ts";
import { KeptPush } from "../registry/embedded/kept-push.ts";
import { openEmbeddedRegistry, type EmbeddedRegistry } from "../registry/embedded/server.ts";
import { Failure } from "../output/errors.ts";
import { openSpool, spoolFailure } from "../store/spool.ts";
import { collectLayers } from "./collect-layers.ts";
import type { Departure, EngineDepartureOptions } from "./departure.ts";
import { Shelf } from "./shelf.ts";

/**
 * A registry in this process: no container, nothing to download, and of the image just what is wanted, layer by layer as the
 * engine gives it. It answers on the tunnel's streams; a port of 127.0.0.1 is open only while the engine pushes.
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
  const offer: Offer = { repository: path, tag, credentials: registry.credentials, announced: !want.whole };
  const { diffIds } = options.info;
  const shelf = new Shelf({ spool, offer, diffIds, codec: commonCodec(want.codecs), announce: options.announce });
  const broken = new AbortController();
  const leaving = new AbortController();
  let filling: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    leaving.abort(new Error("the receiver is done"));
    await filling;
    try {
      await registry[Symbol.asyncDispose]();
    } finally {
      await shelf[Symbol.asyncDispose]();
      await spool[Symbol.asyncDispose]();
    }
  };
  try {
    if (want.whole) content = await pushWhole(registry, offer, options);
    else {
      content = shelf.content;
      const signal = AbortSignal.any([options.signal, leaving.signal]);
      filling = collectLayers(registry, shelf, { ...options, signal }).catch((error: unknown) => {
        broken.abort(spoolFailure(error, "sent"));
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
