import type { Offer } from "../conversation/messages.ts";
import type { RegistryContent } from "../registry/embedded/registry-content.ts";
import { enginePush } from "../engine-push/engine-push.ts";
import { AcceptAllPolicy } from "../engine-push/accept-all-policy.ts";
import type { EmbeddedRegistry } from "../registry/embedded/server.ts";
import { Failure } from "../output/errors.ts";
import { exportLayers } from "./export-layers.ts";
import type { OfferedImage, EngineOfferOptions } from "./found-image.ts";
import { serve } from "./serve-from-embedded-registry.ts";
import { lost } from "./export-from-content-store.ts";

/**
 * A registry in this process: no container, nothing to download, and of the image just what is wanted, layer by layer as the
 * engine gives it. It answers on the tunnel's streams; a port of 127.0.0.1 is open only while the engine pushes.
 */
export async function serveFromEngine(options: EngineOfferOptions): Promise<OfferedImage> {
  const { image, info } = options;
  return await serve(
    {
      image,
      diffIds: info.diffIds,
      explain: (error) => lost(error, image.given),
      fill: async (outgoing, registry, signal) => await exportLayers(registry, outgoing, { ...options, signal }),
      whole: async (offer, registry) => await pushWhole(registry, offer, options),
    },
    options,
  );
}

/** For an engine that pulls by itself: everything, as the engine pushes it. */
async function pushWhole(
  registry: EmbeddedRegistry,
  { repository }: Offer,
  { engine, image, info, runs, onlyPlatform, signal, output, onProgress }: EngineOfferOptions,
): Promise<RegistryContent> {
  const kept = new AcceptAllPolicy(repository);
  onProgress({ stage: "preparing", current: 0 });
  const handler = { policy: kept, giveUp: new AbortController().signal };
  const only = onlyPlatform ? { platform: info.platform } : {};
  const why = await enginePush(engine, image, handler, {
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
