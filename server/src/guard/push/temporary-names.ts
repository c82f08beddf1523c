import { EngineAnswer, type EngineApi } from "../engine/engine-api.ts";
import { isLeftover, leftoverPattern, type PushName } from "./push-name.ts";

interface ListedImage {
  RepoTags?: readonly string[] | null;
  RepoDigests?: readonly string[] | null;
}

/**
 * Removes the name of a push, and the digest references of its repository: with a graph driver, the engine records one for each push, even for an aborted
 * one. Never rejects: what is left is removed at the next start.
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
    // Another push to the repository is under way: the last one removes the digests.
    if (names.some((one) => one.startsWith(`${name}:`))) return;
    for (const one of names) if (one.startsWith(`${name}@`)) await remove(engine, one, signal);
  } catch {
    // The engine has gone, or an image is in use.
  }
}

/** Removes all names of pushes of this guard. */
export async function removeLeftovers(
  engine: Pick<EngineApi, "json">,
  owner: string,
  signal: AbortSignal,
): Promise<void> {
  const names = await listNames(engine, leftoverPattern(owner), signal);
  for (const name of names.filter((one) => isLeftover(owner, one))) await remove(engine, name, signal);
}

/** Returns names with tags and with digests, the tags first: with its last tag, an engine removes a repository's digests as well. */
async function listNames(engine: Pick<EngineApi, "json">, pattern: string, signal: AbortSignal): Promise<string[]> {
  const filters = JSON.stringify({ reference: { [pattern]: true } });
  const query = [
    ["filters", filters],
    ["digests", "1"],
  ] as const;
  const found = (await engine.json({ method: "GET", path: "/images/json", query, signal })) as ListedImage[];
  return [...found.flatMap(({ RepoTags }) => RepoTags ?? []), ...found.flatMap(({ RepoDigests }) => RepoDigests ?? [])];
}

/** Removes a name. Succeeds if the name does not exist, or if its image is in use (409) and so stays. */
async function remove(engine: Pick<EngineApi, "json">, name: string, signal: AbortSignal): Promise<void> {
  await engine.json({ method: "DELETE", path: `/images/${name}`, signal }).catch((error: unknown) => {
    if (!(error instanceof EngineAnswer && (error.statusCode === 404 || error.statusCode === 409))) throw error;
  });
}
