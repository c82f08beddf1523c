import { registryAuth } from "../api/registry-auth.ts";
import type { BuildAnswers, BuildOrder } from "../engine-builder.ts";
import { baseRegistries } from "./base-registries.ts";

/**
 * Returns the user's credentials for the registries of an order's bases, by registry (`X-Registry-Config`); undefined if there are none.
 * @param dockerfile the text of the Dockerfile
 */
export async function registryConfig(
  order: BuildOrder,
  dockerfile: string,
  answers: BuildAnswers,
): Promise<Record<string, object> | undefined> {
  const images = order.cacheFrom.map((reference) => `FROM ${reference}`);
  const registries = baseRegistries([dockerfile, ...images].join("\n"), order.buildArgs);
  const found = await Promise.all(
    registries.map(async (registry) => {
      const credentials = await answers.credentials(registry);
      return credentials === undefined ? [] : [[registry, registryAuth(registry, credentials)] as const];
    }),
  );
  const all = found.flat();
  return all.length === 0 ? undefined : Object.fromEntries(all);
}
