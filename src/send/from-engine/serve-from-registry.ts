import { forgetBrokenOffName } from "../../engine/temporary-name.ts";
import { temporaryName } from "../../run/run-id.ts";
import { pushIntoRegistry } from "../../registry/push-into-registry.ts";
import { openReadOnlyProxy } from "../../registry/read-only-proxy.ts";
import type { RegistryChoice } from "../../registry/temporary-registry.ts";
import { openRegistry } from "../../registry/open-registry.ts";
import type { EngineOfferOptions } from "./engine-offer-options.ts";
import type { OfferedImage } from "../found-image.ts";

/**
 * Serves an engine's image from a registry:2 container or an external registry: the engine pushes the whole image into it, and the receiver
 * reads the image through a read-only proxy.
 */
export async function serveFromRegistry(choice: RegistryChoice, options: EngineOfferOptions): Promise<OfferedImage> {
  const { engine, image, info, runIds, onlyPlatform, signal, onProgress } = options;
  const registry = await openRegistry(choice, engine, { runId: runIds[0], signal, onProgress });
  // Uses the path of the image's own name, so that an external registry finds its layers again.
  const name = temporaryName(registry.pushHost, image.path, runIds);
  const [repository = "", tag = ""] = name.slice(name.indexOf("/") + 1).split(":");
  try {
    await pushIntoRegistry(engine, registry, image, {
      name,
      platform: info.platform,
      onlyPlatform,
      signal: AbortSignal.any([signal, registry.signal]),
      onProgress,
    });
    const proxy = openReadOnlyProxy(registry, repository);
    return {
      offer: { repository, tag, layers: "available", credentials: proxy.credentials },
      accept: (stream) => proxy.accept(stream),
      signal: registry.signal,
      async [Symbol.asyncDispose]() {
        try {
          await proxy[Symbol.asyncDispose]();
        } finally {
          await registry[Symbol.asyncDispose]();
        }
      },
    };
  } catch (error) {
    await registry[Symbol.asyncDispose]();
    await forgetBrokenOffName(engine, name);
    throw error;
  }
}
