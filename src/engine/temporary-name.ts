import type { Engine } from "./engine.ts";

/** Takes a temporary name away. Never fails: an engine that is gone by now cannot do it, and the next run does. */
export async function forgetName(engine: Engine, name: string): Promise<void> {
  await engine.removeReference(name).catch(() => {});
}

/**
 * The same for one that was pushed, by a push that was broken off. A graph driver that has just got the answer to its last
 * request notes the digest all the same (moby `distribution/push_v2.go`), perhaps when the name is gone already, and so the digest
 * would stay for good. To be called when the registry answers no more.
 */
export async function forgetBrokenOffName(engine: Engine, name: string): Promise<void> {
  await forgetName(engine, name);
  const repository = name.slice(0, name.lastIndexOf(":"));
  await engine.removeDigestReferences(repository).catch(() => {});
}
