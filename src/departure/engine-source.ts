import { isDigest } from "../image/digest.ts";
import type { Engine } from "../engine/engine.ts";
import { removeLeftovers } from "../engine/leftovers.ts";
import { TEMPORARY_PATH } from "../engine/run-id.ts";
import { newCredentials } from "../registry/password.ts";
import type { RegistryChoice } from "../registry/registry.ts";
import { departByRegistry } from "./by-registry.ts";
import type { Departure } from "./departure.ts";
import { departEmbedded } from "./embedded.ts";
import type { Source } from "./source.ts";

/** An engine to send images from, by way of the chosen registry. Owns the engine. */
export function engineSource(engine: Engine, choice: RegistryChoice | { kind: "embedded" }): Source {
  return {
    address: engine.address,
    async find(image, platform) {
      const info = await engine.inspectImage(image.given, platform);
      if (info === undefined) return undefined;
      const engineInfo = await engine.info();
      // On a containerd store the ID is that of a manifest or an index.
      const idIsConfig = engineInfo.store !== "containerd" && isDigest(info.id);
      return {
        diffIds: info.diffIds,
        platform: info.platform,
        ...(idIsConfig && { configDigest: info.id }),
        async depart(options) {
          if (options.want.nothing) return NOTHING;
          for (const leftover of await removeLeftovers(engine)) {
            options.output.detail(`removed ${leftover}, left by a run that was killed`);
          }
          const all = { ...options, engine, engineInfo, image, info };
          return choice.kind === "embedded" ? await departEmbedded(all) : await departByRegistry(choice, all);
        },
      };
    },
    [Symbol.asyncDispose]: async () => await engine[Symbol.asyncDispose](),
  };
}

/** For a receiver that has the image already. */
const NOTHING: Departure = {
  offer: { repository: `${TEMPORARY_PATH}/nothing`, tag: "nothing", credentials: newCredentials() },
  accept: (stream) => void stream.destroy(),
  signal: new AbortController().signal,
  [Symbol.asyncDispose]: async () => {},
};
