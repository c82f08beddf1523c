import type { Engine } from "../engine/engine.ts";
import { EngineError } from "../engine/engine-error.ts";
import { familiarName, fullName, tryReference, type Reference } from "../image/reference.ts";

/** What --keep removes: names of images, and an image with its last one. */
export interface OldImages {
  names: readonly string[];
  /** Bytes that this has freed, where the engine tells. */
  bytesFreed?: number;
}

/**
 * Finds the names that --keep removes in a repository: of `keep` images that stay, the one that has just arrived is the first. The others are
 * those that were tagged last, as the engine tells; Podman tells when they were built. So the previous image always stays, of which the next
 * delta is made. An image that a container uses stays as well, whether that runs or not.
 *
 * @param arrived ID of the image that has arrived; undefined where it is not known before, for --dry-run
 */
async function findOldNames(
  engine: Pick<Engine, "listTagged" | "inspectImage" | "usedImages">,
  repository: Reference,
  keep: number,
  arrived: string | undefined,
): Promise<string[]> {
  // An engine finds nothing by docker.io/library/app (moby#34385).
  const tagged = await engine.listTagged(familiarName(repository));
  const own = tagged.filter(({ name }) => isIn(repository, name));
  const used = await engine.usedImages();
  const ids = new Set(own.map(({ id }) => id));
  ids.delete(arrived ?? "");
  const others = await Promise.all(
    [...ids].map(async (id) => {
      const { lastTagged } = (await engine.inspectImage(id)) ?? {};
      const images = own.filter((image) => image.id === id);
      const names = images.map(({ name }) => name);
      const isUsed = used.has(id) || names.some((name) => used.has(fullNameOf(name)));
      return { names, isUsed, at: lastTagged ?? images[0]?.created ?? 0 };
    }),
  );
  const old = others.toSorted((a, b) => b.at - a.at).slice(keep - 1);
  return old.filter(({ isUsed }) => !isUsed).flatMap(({ names }) => names);
}

/** Removes what {@link findOldNames} finds in the repositories of these names. */
export async function removeOldImages(
  engine: Engine,
  names: readonly Reference[],
  keep: number,
  arrived: string,
): Promise<OldImages> {
  const removed: string[] = [];
  const before = await engine.layersSize();
  for (const repository of repositoriesOf(names)) {
    for (const name of await findOldNames(engine, repository, keep, arrived)) {
      if (await isRemoved(engine, name)) removed.push(name);
    }
  }
  const after = removed.length === 0 ? before : await engine.layersSize();
  const bytesFreed = before === undefined || after === undefined ? 0 : before - after;
  return { names: removed, ...(bytesFreed > 0 && { bytesFreed }) };
}

/** Returns what {@link removeOldImages} would remove, before the image arrives. */
export async function planOldImages(
  engine: Engine,
  names: readonly Reference[],
  keep: number,
  arrived: string | undefined,
): Promise<string[]> {
  const found = repositoriesOf(names).map(async (one) => await findOldNames(engine, one, keep, arrived));
  return (await Promise.all(found)).flat();
}

/** Returns one of the names in each repository. */
function repositoriesOf(names: readonly Reference[]): Reference[] {
  return [...new Map(names.map((name) => [`${name.domain}/${name.path}`, name])).values()];
}

/** Removes a name. The engine refuses (409) where a container has been created from it meanwhile. */
async function isRemoved(engine: Engine, name: string): Promise<boolean> {
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
