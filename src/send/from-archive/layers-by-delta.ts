import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import type { Engine } from "../../engine/engine.ts";
import type { ArchivedImage, ArchivedLayer } from "../../image/archive/image-archive.ts";
import { chainIds, hexOf, type Digest } from "../../image/digest.ts";
import { InvalidImage } from "../../image/invalid-image.ts";
import type { FileLocation } from "../../image/location.ts";
import { Failure } from "../../output/errors.ts";
import { openDeltaBase, type DeltaBase } from "../../rebuild/delta-base-in-engine.ts";
import { OtherDeltaBase, rebuildFromDelta } from "../../rebuild/delta-blob.ts";
import { newRunId } from "../../run/run-id.ts";
import { lazySpool, refuseWithoutSpoolSpace } from "../../run/spool.ts";
import { inspectAll } from "../../store/related-images.ts";
import { memoize } from "../../streams/memoize.ts";
import { NEW_LIST } from "./archive-errors.ts";

export interface LayersByDeltaOptions {
  location: FileLocation;
  /** Opens the engine of this side. The caller owns the engine. Undefined if this side has no engine with delta bases. */
  engine?: (() => Promise<Engine>) | undefined;
  env: NodeJS.ProcessEnv;
  signal: AbortSignal;
}

/**
 * Rebuilds the layers by delta of a partial archive in files, from an image of the engine on this side. Dispose of it after the last read.
 */
export class LayersByDelta implements AsyncDisposable {
  readonly #options: LayersByDeltaOptions;
  readonly #spool;
  readonly #engine: (() => Promise<Engine>) | undefined;
  /** By diff ID. A receiver that has lost a layer in the meantime requests all missing layers once more. */
  readonly #rebuilt = new Map<Digest, Promise<ArchivedLayer>>();
  /** Bytes that were read to rebuild layers. */
  moved = 0;
  #base: Promise<DeltaBase> | undefined;
  #opened: Promise<Engine> | undefined;

  constructor(options: LayersByDeltaOptions) {
    this.#options = options;
    this.#spool = lazySpool(options.env, newRunId());
    const { engine } = options;
    this.#engine = engine && memoize(async () => await (this.#opened = engine()));
  }

  /** Rebuilds and verifies a layer. Throws a Failure if that is impossible. */
  async rebuild(image: ArchivedImage, layer: ArchivedLayer): Promise<ArchivedLayer> {
    const { diffId, delta } = layer;
    if (delta === undefined) return layer;
    const rebuilt = this.#rebuilt.get(diffId) ?? this.#rebuild(image, layer, delta);
    this.#rebuilt.set(diffId, rebuilt);
    return await rebuilt;
  }

  async #rebuild(
    image: ArchivedImage,
    { diffId, blob }: ArchivedLayer,
    { open }: NonNullable<ArchivedLayer["delta"]>,
  ): Promise<ArchivedLayer> {
    const { location, signal } = this.#options;
    const base = await (this.#base ??= this.#openBase(image));
    const spool = await this.#spool.open();
    await refuseWithoutSpoolSpace(spool, blob.size);
    const path = spool.pathFor(`${hexOf(diffId)}.rebuilt`);
    const onBytes = (count: number): void => void (this.moved += count);
    try {
      await rebuildFromDelta({ diffId, size: blob.size, open, base, path, signal, onBytes });
    } catch (error) {
      signal.throwIfAborted();
      throw rebuildFailure(error, location, image, diffId);
    }
    const { size } = await stat(path);
    return { diffId, blob: { ...blob, size }, open: () => createReadStream(path) };
  }

  async #openBase({ partial }: ArchivedImage): Promise<DeltaBase> {
    const { location, signal } = this.#options;
    if (this.#engine === undefined) throw needsEngine(location);
    const engine = await this.#engine();
    const { base } = partial ?? {};
    const all = base === undefined ? [] : await inspectAll(engine);
    const found = all.find(({ diffIds }) => chainIds(diffIds).at(-1) === base?.chainId);
    if (found !== undefined) return await openDeltaBase(engine, found.id, signal);
    throw new Failure(
      "image-not-found",
      `${location.path} contains layers by delta, and ${engine.address} does not have their delta base (${base === undefined ? "the archive does not name it" : `${base.name}, as listed ${partial?.listed ?? ""}`})`,
      { expected: "an image with the same layers, under any name", hint: NEW_LIST },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const base = await this.#base?.catch(() => undefined);
    await base?.[Symbol.asyncDispose]();
    const engine = await this.#opened?.catch(() => undefined);
    await engine?.[Symbol.asyncDispose]();
    await this.#spool[Symbol.asyncDispose]();
  }
}

function needsEngine({ path, given }: FileLocation): Failure {
  return new Failure(
    "image-not-found",
    `${path} contains layers by delta, which are rebuilt on the machine of the engine`,
    {
      expected: "the archive on the machine of the receiving engine",
      hint: `Copy it to that machine, and run docker-over-ssh pull --from ${given} IMAGE; or write it with --delta never.`,
    },
  );
}

/** Returns the Failure for a layer that cannot be rebuilt. Returns other errors unchanged. */
function rebuildFailure(error: unknown, { path }: FileLocation, { partial }: ArchivedImage, diffId: string): unknown {
  if (!(error instanceof OtherDeltaBase || error instanceof InvalidImage)) return error;
  const isOther = error instanceof OtherDeltaBase;
  return new Failure(
    "not-verified",
    isOther
      ? `the layer ${diffId} of ${path} cannot be rebuilt: this engine reads other files in ${partial?.base?.name ?? "its delta base"}`
      : `the image in ${path} is damaged: ${error.message}`,
    {
      expected: isOther
        ? "the files that the other engine reads in an image of the same layers"
        : "the unchanged archive",
      hint: isOther ? "Write the archive again with --delta never." : "Copy it once more, or write it again.",
      cause: error,
    },
  );
}
