import type { Offer } from "../../conversation/messages.ts";
import type { RegistryContent } from "../../registry/embedded/pull/registry-content.ts";
import { enginePush } from "../../engine-push/engine-push.ts";
import { AcceptAllPolicy } from "../../engine-push/accept-all-policy.ts";
import type { EmbeddedRegistry } from "../../registry/embedded/server.ts";
import { Failure } from "../../output/errors.ts";
import { pushFailureText } from "../../output/reasons.ts";
import { exportLayers } from "./export-layers.ts";
import type { EngineOfferOptions } from "./engine-offer-options.ts";
import type { ServedImage } from "../served-image.ts";
import { storedLayerFailure } from "./export-from-content-store.ts";

/**
 * Serves an engine's image from the embedded registry: without a container or a download, and only the wanted layers, as the engine returns
 * them. A port of 127.0.0.1 is open only while the engine pushes.
 */
export function serveFromEngine(options: EngineOfferOptions): ServedImage {
  const { image, info } = options;
  return {
    image,
    diffIds: info.diffIds,
    toFailure: (error) => storedLayerFailure(error, image.given),
    exportLayers: async (outgoing, registry, signal) => await exportLayers(registry, outgoing, { ...options, signal }),
    wholeImage: async (offer, registry) => await pushWholeImage(registry, offer, options),
  };
}

/** Lets the engine push the whole image, for a receiving engine that pulls by itself. */
async function pushWholeImage(
  registry: EmbeddedRegistry,
  { repository }: Offer,
  { engine, image, info, runIds, onlyPlatform, signal, output, onProgress }: EngineOfferOptions,
): Promise<RegistryContent> {
  const policy = new AcceptAllPolicy(repository);
  onProgress({ stage: "preparing", current: 0 });
  const handler = { policy, giveUp: new AbortController().signal };
  const reason = await enginePush(engine, image, handler, {
    registry,
    runIds,
    ...(onlyPlatform && { platform: info.platform }),
    signal,
    onDetail: (detail) => output.detail(detail),
  });
  if (reason === undefined) return policy.content;
  throw new Failure(
    "registry-unavailable",
    `the engine could not push ${image.given} to this process: ${pushFailureText(reason)}`,
    {
      expected: "an engine that reaches 127.0.0.1 of the machine that docker-over-ssh runs on",
      hint: "Omit --via pull on the receiving side.",
    },
  );
}
