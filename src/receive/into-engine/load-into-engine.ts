import type { EngineConnection } from "../../engine/engine.ts";
import { EngineError } from "../../engine/engine-error.ts";
import { forgetName } from "../../engine/temporary-name.ts";
import type { Digest } from "../../image/digest.ts";
import { Failure, messageOf } from "../../output/errors.ts";
import { temporaryName } from "../../run/run-id.ts";
import type { PresentLayers } from "../../store/store.ts";
import { findPresentLayers, type EngineContents } from "./find-present-layers.ts";
import { loadPresentLayers, loadWhileFetching } from "./load-layers.ts";
import type { EngineReceiveOptions } from "../receive-options.ts";
import { refuseWithoutSpace, spaceInCache, spaceInEngine } from "../free-space.ts";
import { countLayers, type ReceivedImage } from "../received-image.ts";

/** The domain of the image's temporary name, before the image is verified. It belongs to no registry. */
const TEMPORARY_DOMAIN = "localhost";

/**
 * Fetches the layers that the store lacks, verifies them, and loads them as a partial archive. Present layers are identified by the content
 * store, or by chain IDs, which are the same on every engine.
 */
export async function loadIntoEngine(options: EngineReceiveOptions): Promise<ReceivedImage> {
  const { about, engine, image, runId, output } = options;
  const name = temporaryName(TEMPORARY_DOMAIN, image.path, [runId]);
  const contents = await findPresentLayers(options);
  if (contents.known.id !== undefined) return await declineAll(contents.known.id, about.diffIds, options);

  let present = await contents.present();
  for (;;) {
    try {
      return await receiveMissing(contents, present, name, options);
    } catch (error) {
      await forgetName(engine, name);
      const before = present;
      if (options.allowsSecondWant && error instanceof EngineError) present = await contents.present();
      // Requests layers that `docker rmi` has removed in the meantime. Any other error would occur again.
      if (!isAnyGone(before, present)) throw loadFailure(error, engine);
      output.detail({ code: "layers-gone" });
    }
  }
}

/** Reports to the sender that the engine has the image. */
async function declineAll(
  id: Digest,
  diffIds: readonly Digest[],
  { decline, resumeCache }: EngineReceiveOptions,
): Promise<ReceivedImage> {
  await decline();
  resumeCache?.relate(diffIds);
  const counts = { layersSent: 0, layersPresent: diffIds.length, bytesPresent: 0 };
  return { name: id, id, isVerified: true, ...counts, [Symbol.asyncDispose]: async () => {} };
}

async function receiveMissing(
  contents: EngineContents,
  present: PresentLayers,
  name: string,
  options: EngineReceiveOptions,
): Promise<ReceivedImage> {
  const { about, engine, resumeCache } = options;
  const { store, known, noDeltaReason } = contents;
  resumeCache?.relate(
    [...present.lowest, ...present.others].flatMap(({ diffId, blob }) => [diffId, blob?.digest ?? diffId]),
  );
  const isMissing = missingLayers(about.diffIds, present);
  const wanted = about.diffIds.filter((_, index) => isMissing[index]);
  const space = [await spaceInEngine(options, wanted)];
  if (store.takes === "files") space.push(await spaceInCache(options, wanted));
  refuseWithoutSpace(space);
  await using deltaBases = wanted.length > 0 ? await contents.deltaBases() : undefined;
  const { id, sizes, bytesFound } =
    known.config === undefined || wanted.length > 0
      ? await loadWhileFetching(store, { present, wanted, deltaBases }, name, { ...options, noDeltaReason })
      : await loadPresentLayers(store, { present, config: known.config }, name, options);
  const dispose = async (): Promise<void> => await forgetName(engine, name);
  return { name, id, ...countLayers(sizes, isMissing), bytesFound, [Symbol.asyncDispose]: dispose };
}

/** Returns, for each layer, whether it is missing. */
export function missingLayers(diffIds: readonly Digest[], { lowest, others }: PresentLayers): boolean[] {
  const otherIds = new Set(others.map(({ diffId }) => diffId));
  return diffIds.map((diffId, index) => index >= lowest.length && !otherIds.has(diffId));
}

/** Returns whether a layer that was present is now missing. */
function isAnyGone(before: PresentLayers, now: PresentLayers): boolean {
  const isPresent = new Set([...now.lowest, ...now.others].map(({ diffId }) => diffId));
  return [...before.lowest, ...before.others].some(({ diffId }) => !isPresent.has(diffId));
}

function loadFailure(error: unknown, { address }: Pick<EngineConnection, "address">): unknown {
  if (!(error instanceof EngineError)) return error;
  return new Failure("transfer-failed", `the receiving engine could not load the image: ${messageOf(error)}`, {
    expected: `${address} to load an archive of the missing layers`,
    hint: "Run the same command again, or let the engine pull by itself with --via pull.",
    cause: error,
  });
}
