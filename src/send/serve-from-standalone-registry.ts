import { forgetBrokenOffName } from "../engine/temporary-name.ts";
import { temporaryName } from "../run/run-id.ts";
import { pushIntoRegistry } from "../registry/push-into-registry.ts";
import { openReadOnlyProxy } from "../registry/read-only-proxy.ts";
import type { RegistryChoice } from "../registry/temporary-registry.ts";
import { openRegistry } from "../registry/open-registry.ts";
import type { OfferedImage, EngineOfferOptions } from "./found-image.ts";

/** Lets the engine push the whole image into a registry:2 container or a registry of yours, and opens a gate to that image. */
export async function serveFromStandaloneRegistry(
  choice: RegistryChoice,
  options: EngineOfferOptions,
): Promise<OfferedImage> {
  const { engine, image, info, runs, onlyPlatform, signal, onProgress } = options;
  const registry = await openRegistry(choice, engine, { run: runs[0], signal, onProgress });
  // The path of the image's own name is kept, so that a registry that stays finds its layers again.
  const name = temporaryName(registry.pushHost, image.path, runs);
  const [repository = "", tag = ""] = name.slice(name.indexOf("/") + 1).split(":");
  try {
    const stop = AbortSignal.any([signal, registry.signal]);
    await pushIntoRegistry(engine, registry, image, {
      name,
      platform: info.platform,
      onlyPlatform,
      signal: stop,
      onProgress,
    });
    const proxy = openReadOnlyProxy(registry, repository);
    return {
      offer: { repository, tag, credentials: proxy.credentials },
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
