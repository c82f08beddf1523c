import type { EngineImages } from "./engine-images.ts";
import type { Reference } from "../image/reference.ts";

/**
 * Gives an image a temporary name. Returns false, without naming it, when the image has no other name: an engine removes an image with
 * its last name, and this image is the user's.
 */
export async function giveTemporaryName(engine: EngineImages, image: Reference, name: string): Promise<boolean> {
  const isById = image.tag === undefined && image.digest === undefined;
  if (isById && (await engine.inspectImage(image.given))?.names?.length === 0) return false;
  await engine.tagImage(image.given, name);
  return true;
}

/** Removes a temporary name. Never rejects: the next run removes the name when this engine is gone. */
export async function forgetName(engine: EngineImages, name: string): Promise<void> {
  await engine.removeReference(name).catch(() => {});
}

/**
 * Removes a temporary name after a push that was broken off. A graph driver that has just got the answer to its last request records
 * `repository@digest` anyway (moby `distribution/push_v2.go`), perhaps after the name is gone, and the digest would stay for ever. Call
 * this when the registry no longer answers.
 */
export async function forgetBrokenOffName(engine: EngineImages, name: string): Promise<void> {
  await forgetName(engine, name);
  const repository = name.slice(0, name.lastIndexOf(":"));
  await engine.removeDigestReferences(repository).catch(() => {});
}
