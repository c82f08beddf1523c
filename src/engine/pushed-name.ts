import type { Engine } from "./engine.ts";

/**
 * Takes away the name that an image was pushed under, and with it the digests that a graph driver noted for its repository.
 * Never fails: an engine that is gone by now cannot remove it; the next run does.
 */
export async function removePushedName(engine: Engine, name: string): Promise<void> {
  await engine.removeReference(name).catch(() => {});
}

/**
 * The same for a push that was broken off. A graph driver that has just got the answer to its last request notes the digest all
 * the same (moby `distribution/push_v2.go`), perhaps when the name is gone already, and so the digest would stay for good. To
 * be called when the registry answers no more.
 */
export async function removeBrokenOffName(engine: Engine, name: string): Promise<void> {
  await removePushedName(engine, name);
  const repository = name.slice(0, name.lastIndexOf(":"));
  await engine.removeDigestReferences(repository).catch(() => {});
}
