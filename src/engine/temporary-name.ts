import type { EngineImages } from "./engine-images.ts";
import type { Reference } from "../image/reference.ts";

/**
 * Gives an image a temporary name. If the image has no other name, returns false and does not name it: an engine removes an image with its
 * last name, and this image belongs to the user.
 */
export async function giveTemporaryName(engine: EngineImages, image: Reference, name: string): Promise<boolean> {
  const isById = image.tag === undefined && image.digest === undefined;
  if (isById && (await engine.inspectImage(image.given))?.names?.length === 0) return false;
  await engine.tagImage(image.given, name);
  return true;
}

/** Removes a temporary name. Never rejects: if the engine is lost, the next run removes the name. */
export async function forgetName(engine: EngineImages, name: string): Promise<void> {
  await engine.removeReference(name).catch(() => {});
}

/**
 * Removes a temporary name after an interrupted push. A graph driver that has just received the answer to its last request records
 * `repository@digest` anyway (moby `distribution/push_v2.go`), perhaps after the name was removed. Without this function, the digest would
 * remain for ever. Call it when the registry no longer answers.
 */
export async function forgetBrokenOffName(engine: EngineImages, name: string): Promise<void> {
  await forgetName(engine, name);
  const repository = name.slice(0, name.lastIndexOf(":"));
  await engine.removeDigestReferences(repository).catch(() => {});
}
