import { createReadStream, createWriteStream } from "node:fs";
import { rm, stat } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import type { Engine } from "../../engine/engine.ts";
import type { HaveList } from "../../have/have-list.ts";
import { layersMissingInList, similarImagesInList } from "../../have/layers-in-list.ts";
import type { PartialBase } from "../../image/archive/image-archive.ts";
import { chainIds, digestOf, hexOf, type Digest } from "../../image/digest.ts";
import { decompressLayer } from "../../image/layer/decompress-layer.ts";
import { DELTA_TYPE, type PartialLayer } from "../../image/partial/partial-image.ts";
import { writePartialArchive } from "../../image/partial/write-partial-archive.ts";
import { taggableName } from "../../image/reference.ts";
import { Failure, messageOf } from "../../output/errors.ts";
import { openDeltaBase, type DeltaBase } from "../../rebuild/delta-base-in-engine.ts";
import { writeDelta, type DeltaBlob } from "../../rebuild/delta-blob.ts";
import type { Spool } from "../../run/spool.ts";
import { inspectAll } from "../../store/related-images.ts";
import type { LayerFile } from "../../store/store.ts";
import { countBytes } from "../../streams/count-bytes.ts";
import type { ArchiveMaker } from "./archive-maker.ts";
import type { ReceiveOptions } from "../receive-options.ts";
import { spaceInList } from "../free-space.ts";

export interface PartialOptions {
  /** The have list of the receiving engine. */
  list: HaveList;
  /** Opens the engine of this side, for delta bases. The caller owns the engine. Undefined if this side has no engine. */
  engine?: (() => Promise<Engine>) | undefined;
}

/**
 * A layer of at least this many stored bytes is cut. Its delta is used if it has at most the share below, because a delta can also fail
 * there.
 */
const WORTH_CUTTING = 512 * 1024;
const WORTH_IT = 0.9;

/**
 * Creates archives without the layers that the receiving engine has. A layer that it lacks is written by delta if both engines have an
 * image that is similar to this image: the files of that image are read on this side (docs/decisions/delta-without-a-receiver.md).
 */
export function partialArchives({ list, engine: openEngine }: PartialOptions): ArchiveMaker {
  return {
    isPartial: true,
    wanted: ({ diffIds }) => layersMissingInList(list, diffIds),
    spaces: (about, wanted) => spaceInList(list.engine.bytesFree, about, wanted),
    async make({ files, config }, options, spool, onMoved) {
      const { about, names } = options;
      const onBytes = whileCutting(options, onMoved);
      const deltas =
        options.noDeltaReason === "option"
          ? NONE
          : await deltasOf(files, { list, openEngine }, { ...options, spool, onBytes });
      const layers = new Map<Digest, PartialLayer>();
      const paths = new Map<string, string>();
      for (const { diffId, blob, path } of files) {
        const delta = deltas.of.get(diffId);
        if (delta === undefined) layers.set(diffId, { diffId, way: "whole", blob });
        else
          layers.set(diffId, {
            diffId,
            way: "by-delta",
            blob: { mediaType: DELTA_TYPE, digest: delta.digest, size: delta.size },
            size: delta.plainSize,
          });
        paths.set(delta?.digest ?? blob.digest, delta?.path ?? path);
      }
      const image = {
        names: names.map(tagged),
        config: digestOf(config),
        listed: list.listed,
        base: deltas.base,
        layers: about.diffIds.map((diffId): PartialLayer => layers.get(diffId) ?? { diffId, way: "present" }),
      };
      const bytesFound = [...deltas.of.values()].reduce((sum, delta) => sum + delta.bytesFound, 0);
      return { tar: writePartialArchive({ image, config, paths }), bytesFound };
    },
  };
}

/** Returns a function that reports the bytes read to create deltas: without reports, the peer gives up a side that works for minutes. */
function whileCutting({ onProgress }: ReceiveOptions, onMoved: (bytes: number) => void): (count: number) => void {
  const progress = { stage: "preparing" as const, current: 0 };
  return (count) => {
    onMoved(count);
    progress.current += count;
    onProgress(progress);
  };
}

type Delta = DeltaBlob & { plainSize: number };

interface CuttingOptions extends ReceiveOptions {
  spool: Spool;
  onBytes: (count: number) => void;
}

/** The layers by delta, by their diff IDs, and their delta base. */
interface Deltas {
  of: ReadonlyMap<Digest, Delta>;
  base?: PartialBase;
}

const NONE: Deltas = { of: new Map() };

/** Cuts the layers for which that is worthwhile. */
async function deltasOf(
  files: readonly LayerFile[],
  { list, openEngine }: { list: HaveList; openEngine: PartialOptions["engine"] },
  options: CuttingOptions,
): Promise<Deltas> {
  const large = files.filter(({ size }) => size >= WORTH_CUTTING);
  if (large.length === 0 || openEngine === undefined) return NONE;
  await using engine = await openEngine().catch((error: unknown) => {
    options.signal.throwIfAborted();
    options.output.detail({ code: "delta-base-unreadable", error: messageOf(error) });
    return undefined;
  });
  const found = engine && (await findBase(list, engine, options));
  if (engine === undefined || found === undefined) return NONE;
  await using base = await openDeltaBase(engine, found.id, options.signal);
  const deltas = new Map<Digest, Delta>();
  for (const file of large) {
    const delta = await deltaOf(file, base, options);
    if (delta !== undefined) deltas.set(file.diffId, delta);
  }
  return deltas.size === 0 ? NONE : { of: deltas, base: found.base };
}

/** Finds the image of the receiving engine that is most similar to this image, and that this engine also has. */
async function findBase(
  list: HaveList,
  engine: Engine,
  { image, about, output }: ReceiveOptions,
): Promise<{ id: string; base: PartialBase } | undefined> {
  const listedImages = similarImagesInList(list, image, about.diffIds);
  const ownImages = listedImages.length > 0 && engine.takesManyAtOnce ? await inspectAll(engine) : [];
  const ids = new Map(ownImages.map(({ id, diffIds }) => [diffIds.join(), id]));
  for (const { name, diffIds } of listedImages) {
    const id = ids.get(diffIds.join());
    const chainId = chainIds(diffIds).at(-1);
    if (id !== undefined && chainId !== undefined) return { id, base: { name, chainId } };
  }
  output.detail({ code: "all-whole", reason: engine.takesManyAtOnce ? "no-similar-image" : "one-connection" });
  return undefined;
}

/** Writes a layer's delta to a file of the spool. Returns undefined if that is not worthwhile, or if the base cannot be read. */
async function deltaOf(file: LayerFile, base: DeltaBase, options: CuttingOptions): Promise<Delta | undefined> {
  const { spool, signal, output, onBytes } = options;
  const { diffId } = file;
  // A layer that is stored plain needs no copy.
  const plain = file.blob.digest === diffId ? undefined : spool.pathFor(`${hexOf(diffId)}.plain`);
  try {
    if (plain !== undefined) await unpack(file, plain, options);
    const tar = plain ?? file.path;
    const { size: plainSize } = await stat(tar);
    const path = spool.pathFor(`${hexOf(diffId)}.delta`);
    const delta = await writeDelta({ tar, size: plainSize, base, path, signal, onBytes });
    signal.throwIfAborted();
    output.detail({ code: "pieces-found", diffId, bytesFound: delta.bytesFound, bytes: delta.bytes });
    if (delta.size < file.size * WORTH_IT) return { ...delta, plainSize };
    await rm(path);
    return undefined;
  } catch (error) {
    signal.throwIfAborted();
    output.detail({ code: "delta-base-unreadable", error: messageOf(error) });
    return undefined;
  } finally {
    if (plain !== undefined) await rm(plain, { force: true });
  }
}

/** Writes a layer's plain tar to a file. */
async function unpack({ path, blob }: LayerFile, to: string, { signal, onBytes }: CuttingOptions): Promise<void> {
  const plain = decompressLayer(createReadStream(path), blob.mediaType);
  await pipeline(countBytes(plain, onBytes), createWriteStream(to, { flags: "wx", mode: 0o600 }), { signal });
}

function tagged(image: ReceiveOptions["image"]): string {
  const name = taggableName(image);
  if (name !== undefined) return name;
  throw new Failure("usage", `a partial archive cannot name an image ${image.given}: it has a digest and no tag`, {
    expected: "a name with a tag",
    hint: "For instance --as app:v2.",
  });
}
