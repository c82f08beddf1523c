import { createReadStream } from "node:fs";
import { join } from "node:path";
import type { ApiObject, BackendImages } from "../backend.ts";
import type { Caller } from "../caller.ts";
import { forgetImages } from "../ledger/ledger-images.ts";
import { parseTenantName } from "../images/names.ts";
import { Refusal } from "../refusal.ts";
import { fullName, tryReference, type Reference } from "docker-over-ssh/builds";
import { tooManyImages } from "../limits/refusals.ts";
import { openCallFolder, type OpenHome } from "./homes.ts";
import { dockerName, filterImages, historyOf, inspectionOf, summaryOf } from "./image-objects.ts";
import { cgroupOf, countImages, homeOf, run, type BuildahDependencies } from "./dependencies.ts";
import { pushImage } from "./push-image.ts";
import { CALL } from "./sandbox.ts";
import { BuildahError } from "./run-buildah.ts";
import type { StoredImage } from "./stored-images.ts";

/** Serves the images that tenants have built, without those that were pulled for their builds. */
export function createImages(dependencies: BuildahDependencies): BackendImages {
  const { images, events, setup } = dependencies;
  const find = async (caller: Caller, name: string): Promise<StoredImage> =>
    await images.find(await homeOf(dependencies, caller), name, caller.signal);
  return {
    async list(caller, filter) {
      const own = await images.own(await homeOf(dependencies, caller), caller.signal);
      return filterImages(own, filter, Date.now()).map(summaryOf);
    },
    inspect: async (caller, name) => inspectionOf(await find(caller, name), setup.driver),
    history: async (caller, name) => historyOf(await find(caller, name)),
    async tag(caller, name, target) {
      const { id, names } = await find(caller, name);
      const reference = taggable(target);
      const home = await homeOf(dependencies, caller);
      if (!names.includes(fullName(reference))) await refuseOneMore(dependencies, caller, home);
      await run(dependencies, home, ["tag", bare(id), fullName(reference)], { signal: caller.signal });
      events.emit(caller.tenant.id, "tag", id, dockerName(fullName(reference)));
    },
    remove: async (caller, name, options) =>
      await remove(dependencies, caller, await find(caller, name), name, options),
    save: async (caller, names) => await save(dependencies, caller, names),
    push: async (caller, reference, options) =>
      await pushImage(dependencies, caller, await find(caller, reference), taggable(reference), options),
    events: (caller, filter) => events.read(caller.tenant.id, filter, caller.signal),
  };
}

/** Refuses another name beyond the quota. A name counts as an image, because a tenant could give its image any number of them. */
async function refuseOneMore(dependencies: BuildahDependencies, caller: Caller, home: OpenHome): Promise<void> {
  const { images: allowed } = caller.tenant.quotas;
  const { images } = await countImages(dependencies, caller, home);
  if (allowed !== undefined && images >= allowed) throw tooManyImages(images + 1, allowed);
}

/** Returns an ID without `sha256:`, the form that buildah accepts. */
export function bare(id: string): string {
  return id.slice("sha256:".length);
}

function taggable(name: string): Reference {
  const reference = parseTenantName(name);
  if (reference.digest === undefined) return reference;
  throw new Refusal("name.digest", `"${name}": expected a name with a tag, and without a digest`, { statusCode: 400 });
}

/**
 * Removes an image or one of its names, like docker. If the image has several names, a given name is removed from it, and a given ID removes it only with
 * `force`.
 */
async function remove(
  dependencies: BuildahDependencies,
  caller: Caller,
  image: StoredImage,
  given: string,
  { force }: { force: boolean },
): Promise<ApiObject[]> {
  const { id, names } = image;
  const { tenant, signal } = caller;
  const home = await homeOf(dependencies, caller);
  const reference = tryReference(given);
  const named = reference && names.find((name) => name === fullName(reference));
  if (named === undefined && names.length > 1 && !force) {
    throw new Refusal(
      "image.conflict",
      `conflict: unable to delete ${bare(id).slice(0, 12)} (must be forced) - image is referenced in multiple repositories`,
      { statusCode: 409 },
    );
  }
  const untagged = named === undefined ? names : [named];
  try {
    await run(dependencies, home, ["rmi", ...(force ? ["--force"] : []), named ?? bare(id)], { signal });
  } catch (error) {
    if (!(error instanceof BuildahError)) throw error;
    const used = `conflict: unable to delete ${given}: a running build uses it`;
    const isUsed = /in use by|image used by/i.test(error.message);
    throw new Refusal("image.conflict", isUsed ? used : error.message, {
      statusCode: isUsed ? 409 : 500,
      cause: error,
    });
  }
  const isGone = untagged.length >= names.length;
  if (isGone) await forgetImages(dependencies.ledger, tenant.id, [id]);
  await countImages(dependencies, caller, home);
  for (const name of untagged) dependencies.events.emit(tenant.id, "untag", id, dockerName(name));
  if (isGone) dependencies.events.emit(tenant.id, "delete", id);
  return [...untagged.map((name) => ({ Untagged: dockerName(name) })), ...(isGone ? [{ Deleted: id }] : [])];
}

/** Saves an image. buildah writes an archive of one image, with one name. */
async function save(
  dependencies: BuildahDependencies,
  caller: Caller,
  names: readonly string[],
): Promise<ReturnType<typeof createReadStream>> {
  const [name = "", ...more] = names;
  if (more.length > 0) {
    throw new Refusal("buildah.save", "buildah saves one image at a time, by one name", { statusCode: 400 });
  }
  const home = await homeOf(dependencies, caller);
  const { id, names: stored } = await dependencies.images.find(home, name, caller.signal);
  const reference = tryReference(name);
  const named = reference && stored.find((full) => full === fullName(reference));
  const call = await openCallFolder(home);
  try {
    await using cgroup = await cgroupOf(dependencies, caller, call);
    const target = `docker-archive:${CALL}/image.tar${named === undefined ? "" : `:${named}`}`;
    const options = { signal: caller.signal, cgroupFiles: cgroup.files, call: call.name };
    await run(dependencies, home, ["push", "--quiet", bare(id), target], options);
    const stream = createReadStream(join(call.path, "image.tar"), { signal: caller.signal });
    stream.once("close", () => void Promise.resolve(call[Symbol.asyncDispose]()).catch(() => {}));
    dependencies.events.emit(caller.tenant.id, "save", id, named === undefined ? undefined : dockerName(named));
    return stream;
  } catch (error) {
    await call[Symbol.asyncDispose]();
    throw error;
  }
}
