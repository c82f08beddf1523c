import type { BuildContext, ContextFile } from "../../build-context/build-context.ts";
import { entryPath } from "../../build-context/paths.ts";
import { registryAuth } from "../api/registry-auth.ts";
import type { BuildAnswers, BuildOrder } from "../engine-builds.ts";
import { baseRegistries } from "./base-registries.ts";

/** Bytes of a Dockerfile that are read. */
const MAX_DOCKERFILE = 1024 * 1024;

/** Returns the user's credentials for the registries of an order's bases, by registry (`X-Registry-Config`); undefined when there are none. */
export async function registryConfig(
  order: BuildOrder,
  context: BuildContext | undefined,
  answers: BuildAnswers,
): Promise<Record<string, object> | undefined> {
  const dockerfile = context === undefined ? "" : await readDockerfile(order.dockerfile, context);
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

async function readDockerfile(path: string, context: BuildContext): Promise<string> {
  const wanted = entryPath(path);
  const file = context.entries.find((entry): entry is ContextFile => entry.kind === "file" && entry.path === wanted);
  if (file === undefined || file.size > MAX_DOCKERFILE) return "";
  const chunks: Uint8Array[] = [];
  for await (const chunk of context.read(file)) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString("utf8");
}
