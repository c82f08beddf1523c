import { EngineAnswer, type EngineApi } from "../engine/engine-api.ts";
import { isLeftover, leftoverPattern, type PushName } from "./push-name.ts";

interface ListedImage {
  RepoTags?: readonly string[] | null;
  RepoDigests?: readonly string[] | null;
}

/**
 * Removes the name of a push and the digest references of its repository. With a graph driver, the engine records such a reference for each push, even for an
 * aborted one. Never rejects, because the next start removes the names that are left.
 */
export async function forgetPush(
  engine: Pick<EngineApi, "json">,
  { host, repository, tag }: PushName,
  signal: AbortSignal,
): Promise<void> {
  try {
    const name = `${host}/${repository}`;
    await remove(engine, `${name}:${tag}`, signal);
    const names = await listNames(engine, name, signal);
    // Another push to the repository is running. The last one removes the digests.
    if (names.some((found) => found.startsWith(`${name}:`))) return;
    for (const found of names) if (found.startsWith(`${name}@`)) await remove(engine, found, signal);
  } catch {
    // The engine is down, or an image is in use.
  }
}

/** Removes all names of pushes of this guard. */
export async function removeLeftovers(
  engine: Pick<EngineApi, "json">,
  owner: string,
  signal: AbortSignal,
): Promise<void> {
  const names = await listNames(engine, leftoverPattern(owner), signal);
  for (const name of names.filter((found) => isLeftover(owner, found))) await remove(engine, name, signal);
}

/** Returns names with tags, then names with digests. With the last tag of a repository, an engine also removes its digests. */
async function listNames(engine: Pick<EngineApi, "json">, pattern: string, signal: AbortSignal): Promise<string[]> {
  const filters = JSON.stringify({ reference: { [pattern]: true } });
  const query = [
    ["filters", filters],
    ["digests", "1"],
  ] as const;
  const found = (await engine.json({ method: "GET", path: "/images/json", query, signal })) as ListedImage[];
  return [...found.flatMap(({ RepoTags }) => RepoTags ?? []), ...found.flatMap(({ RepoDigests }) => RepoDigests ?? [])];
}

/** Removes a name. Succeeds if the name does not exist, or if it stays because its image is in use (409). */
async function remove(engine: Pick<EngineApi, "json">, name: string, signal: AbortSignal): Promise<void> {
  await engine.json({ method: "DELETE", path: `/images/${name}`, signal }).catch((error: unknown) => {
    if (!(error instanceof EngineAnswer && (error.statusCode === 404 || error.statusCode === 409))) throw error;
  });
}
