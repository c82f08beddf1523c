import type { Engine } from "../engine/engine.ts";
import { EngineError } from "../engine/engine-error.ts";
import { taggableName, type Reference } from "../image/reference.ts";
import type { NonEmpty } from "../non-empty.ts";
import { messageOf } from "../output/errors.ts";
import type { Output } from "../output/output.ts";
import { removeOldImages } from "../receive/remove-old-images.ts";
import type { NamePattern } from "./forced/name-patterns.ts";

type Images = Pick<Engine, "inspectImage" | "removeReference">;

export interface RemovalOptions {
  names: NonEmpty<Reference>;
  /** The image that was built */
  id: string;
  /** The images that had the names before the build, see {@link imagesOf} */
  before: ReadonlySet<string>;
  keep?: number | undefined;
  /** The image's own name, and the names that may be built. Default: any name */
  name: Reference;
  allow?: readonly NamePattern[] | undefined;
  cacheLimit?: number | undefined;
}

/** Returns the IDs of the images that have these names. */
export async function imagesOf(engine: Images, names: readonly Reference[]): Promise<Set<string>> {
  const found = await Promise.all(
    names.map(async (name) => await engine.inspectImage(taggableName(name) ?? name.given)),
  );
  return new Set(found.flatMap((image) => (image === undefined ? [] : [image.id])));
}

/**
 * Removes the remains of builds from the engine's disk: images that have lost their last name to this one, older images of the repositories
 * (--keep), and the build cache above its limit. An error becomes a warning, because the image is already built. Returns the names that
 * were removed.
 */
export async function removeBuiltImages(
  engine: Engine,
  options: RemovalOptions,
  output: Output,
): Promise<readonly string[]> {
  const { names, id, before, keep, name, allow, cacheLimit } = options;
  // The name in a registry and the name without it count as the same image: they have the same tag.
  const isOurs = ({ tag }: Reference): boolean =>
    allow?.some((pattern) => pattern.matches({ ...name, ...(tag && { tag }) })) ?? true;
  const removed: string[] = [];
  const attempt = async (work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      output.warn({ code: "old-images-not-removed", error: messageOf(error) });
    }
  };
  await attempt(async () => {
    for (const oldId of before) if (oldId !== id) await removeUntagged(engine, oldId);
  });
  await attempt(async () => {
    if (keep !== undefined) removed.push(...(await removeOldImages(engine, names, keep, id, isOurs)).names);
  });
  await attempt(async () => {
    if (cacheLimit !== undefined) await engine.pruneBuildCache(cacheLimit);
  });
  return removed;
}

/** Removes an image that no longer has a name. The engine refuses (409) if a container uses it. */
async function removeUntagged(engine: Images, id: string): Promise<void> {
  const image = await engine.inspectImage(id);
  if (image === undefined || (image.names ?? []).length > 0) return;
  try {
    await engine.removeReference(id);
  } catch (error) {
    if (!(error instanceof EngineError && error.status === 409)) throw error;
  }
}
