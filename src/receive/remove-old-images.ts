import type { EngineContainers } from "../engine/engine-containers.ts";
import type { EngineImages } from "../engine/engine-images.ts";
import { EngineError } from "../engine/engine-error.ts";
import { familiarName, fullName, taggableName, tryReference, type Reference } from "../image/reference.ts";
import type { NonEmpty } from "../non-empty.ts";

/** The names of images that --keep removes. An image is removed with its last name. */
export interface OldImages {
  names: readonly string[];
  /** The bytes that this has freed, if the engine reports them. */
  bytesFreed?: number;
}

/** The engine whose images --keep removes. */
type ImageEngine = EngineImages & Pick<EngineContainers, "usedImages">;

/** An image that --keep removes, by its names in the repository. */
interface OldImage {
  id: string;
  names: string[];
}

/**
 * Finds the images that --keep removes in a repository. The image that has just arrived is the first of `keep` images that stay. The others
 * are the images that were tagged last, according to the engine; Podman only reports when they were built. So the previous image, from
 * which the next delta is created, always stays. An image that a container uses stays as well, whether the container is running or not.
 *
 * @param names the names in this repository of the image that has arrived, or would arrive
 * @param arrived its IDs: more than one for --dry-run if it is not known which of them the engine assigns
 * @param isOurs returns whether a name counts, and may be removed. Default: all names of the repository
 */
async function findOldImages(
  engine: Pick<ImageEngine, "listTagged" | "inspectImage" | "usedImages">,
  names: NonEmpty<Reference>,
  keep: number,
  arrived: readonly string[],
  isOurs: (name: Reference) => boolean = () => true,
): Promise<OldImage[]> {
  const [repository] = names;
  const given = new Set(names.map((name) => fullNameOf(taggableName(name) ?? name.given)));
  // An engine finds no image by docker.io/library/app (moby#34385).
  const tagged = await engine.listTagged(familiarName(repository));
  const own = tagged.filter(({ name }) => {
    const reference = tryReference(name);
    return isIn(repository, name) && !given.has(fullNameOf(name)) && reference !== undefined && isOurs(reference);
  });
  const used = await engine.usedImages();
  const ids = new Set(own.map(({ id }) => id));
  for (const id of arrived) ids.delete(id);
  const others = await Promise.all(
    [...ids].map(async (id) => {
      const { lastTagged, created } = (await engine.inspectImage(id)) ?? {};
      const images = own.filter((image) => image.id === id);
      const old = { id, names: images.map(({ name }) => name) };
      return { ...old, isUsed: isUsed(old, used), at: lastTagged ?? created ?? images[0]?.created ?? 0 };
    }),
  );
  const old = others.toSorted((a, b) => b.at - a.at).slice(keep - 1);
  return old.filter((image) => !image.isUsed);
}

/** Removes the images that {@link findOldImages} finds in the repositories of these names. */
export async function removeOldImages(
  engine: ImageEngine,
  names: NonEmpty<Reference>,
  keep: number,
  arrived: string,
  isOurs?: (name: Reference) => boolean,
): Promise<OldImages> {
  const removed: string[] = [];
  const before = await engine.layersSize();
  for (const inRepository of byRepository(names)) {
    for (const image of await findOldImages(engine, inRepository, keep, [arrived], isOurs)) {
      removed.push(...(await removeImage(engine, image)));
    }
  }
  const after = removed.length === 0 ? before : await engine.layersSize();
  const bytesFreed = before === undefined || after === undefined ? 0 : before - after;
  return { names: removed, ...(bytesFreed > 0 && { bytesFreed }) };
}

/**
 * Returns the images that {@link removeOldImages} would remove, before the image arrives.
 *
 * @param ids the IDs of the image, as far as they are known
 */
export async function planOldImages(
  engine: ImageEngine,
  names: NonEmpty<Reference>,
  keep: number,
  ids: readonly string[],
): Promise<string[]> {
  const found = byRepository(names).map(async (some) => await findOldImages(engine, some, keep, ids));
  return (await Promise.all(found)).flat().flatMap((image) => image.names);
}

/**
 * Removes an image by its names, and returns the removed names. In the meantime, a container may have begun to use the image, or a name may
 * have been given to another image, so the image is inspected again. The engine refuses (409) to remove the last name of an image that a
 * container uses.
 */
async function removeImage(engine: ImageEngine, image: OldImage): Promise<string[]> {
  if (isUsed(image, await engine.usedImages())) return [];
  const removed: string[] = [];
  for (const name of image.names) {
    const { id } = (await engine.inspectImage(name)) ?? {};
    if (id !== image.id) continue;
    if (!(await isRemoved(engine, name))) break;
    removed.push(name);
  }
  return removed;
}

/** @param used IDs and names of the images of all containers */
function isUsed({ id, names }: OldImage, used: ReadonlySet<string>): boolean {
  return used.has(id) || names.some((name) => used.has(fullNameOf(name)));
}

/** Returns the names of each repository. */
function byRepository(names: NonEmpty<Reference>): NonEmpty<Reference>[] {
  const groups = new Map<string, NonEmpty<Reference>>();
  for (const name of names) {
    const repository = `${name.domain}/${name.path}`;
    const group = groups.get(repository);
    groups.set(repository, group === undefined ? [name] : [...group, name]);
  }
  return [...groups.values()];
}

/** Removes a name. The engine refuses (409) if a container has been created from it in the meantime. */
async function isRemoved(engine: Pick<EngineImages, "removeReference">, name: string): Promise<boolean> {
  try {
    await engine.removeReference(name);
    return true;
  } catch (error) {
    if (error instanceof EngineError && error.status === 409) return false;
    throw error;
  }
}

function isIn({ domain, path }: Pick<Reference, "domain" | "path">, name: string): boolean {
  const reference = tryReference(name);
  return reference?.domain === domain && reference.path === path;
}

function fullNameOf(name: string): string {
  const reference = tryReference(name);
  return reference === undefined ? name : fullName(reference);
}
