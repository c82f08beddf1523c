import type { EngineImages } from "./engine-images.ts";
import type { Reference } from "../image/reference.ts";

/**
 * Gives an image a temporary name. False, and none is given, where it would be its only one: an engine removes an image with its last
 * name, and the image is the user's.
 */
export async function giveTemporaryName(engine: EngineImages, image: Reference, name: string): Promise<boolean> {
  const isById = image.tag === undefined && image.digest === undefined;
  if (isById && (await engine.inspectImage(image.given))?.names?.length === 0) return false;
  await engine.tagImage(image.given, name);
  return true;
}

/** Takes a temporary name away. Never fails: an engine that is gone by now cannot do it, and the next run does. */
export async function forgetName(engine: EngineImages, name: string): Promise<void> {
  await engine.removeReference(name).catch(() => {});
}

/**
 * The same for one that was pushed, by a push that was broken off. A graph driver that has just got the answer to its last
 * request notes the digest all the same (moby `distribution/push_v2.go`), perhaps when the name is gone already, and so the digest
 * would stay for good. To be called when the registry answers no more.
 */
export async function forgetBrokenOffName(engine: EngineImages, name: string): Promise<void> {
  await forgetName(engine, name);
  const repository = name.slice(0, name.lastIndexOf(":"));
  await engine.removeDigestReferences(repository).catch(() => {});
}
