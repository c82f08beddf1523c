/** A sender that cuts layers and a receiver that rebuilds them, without a link between them. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { afterEach, beforeEach } from "vitest";
import { LayerRebuilder, type LayerRebuilderOptions } from "../../../src/rebuild/layer-rebuilder.ts";
import type { DeltaBases } from "../../../src/rebuild/delta-bases.ts";
import type { AnnouncedLayer } from "../../../src/conversation/messages.ts";
import { LayerCutter } from "../../../src/rebuild/layer-cutter.ts";
import { newRunId } from "../../../src/run/run-id.ts";
import { sizeLimit } from "../../../src/image/layer/size-limit.ts";
import { digestOf } from "../../../src/image/digest.ts";
import { MEDIA_TYPE } from "../../../src/image/manifest.ts";
import { CODECS } from "../../../src/packing/codecs.ts";
import { PacedPacker } from "../../../src/packing/paced-packer.ts";
import { unpack } from "../../../src/packing/unpack.ts";
import { NoRecipe } from "../../../src/registry/registry-client-errors.ts";
import type { LayerDelta, StoredBlob } from "../../../src/registry/embedded/pull/registry-content.ts";
import type { ResumeCache } from "../../../src/store/resume-cache.ts";
import { lazySpool, type LazySpool } from "../../../src/run/spool.ts";
import { detailText } from "../../../src/output/detail-texts.ts";
import { makeTar } from "../image/tar/make-tar.ts";
import { pseudoRandomBytes } from "../pseudo-random.ts";

/** Bytes of each file in the layers. */
export const FILE = 60_000;
/** The cache folder of both sides. */
export let folder: string;
let sending: LazySpool[];
/** The spool of the receiving side. */
export let receiving: LazySpool;
/** A layer of 20 files, and a version of it with a different last file. */
export let v1: Buffer;
export let v2: Buffer;

/** Sets up a sending and a receiving side for each test. */
export function useTwoSides(): void {
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "dos-rebuilder-"));
    [sending, receiving] = [[], lazySpool({ XDG_CACHE_HOME: folder }, newRunId())];
    const file = (index: number, seed: number) => ({ name: `app/${index}`, content: pseudoRandomBytes(FILE, seed) });
    const files = Array.from({ length: 20 }, (_, index) => file(index, index));
    v1 = await makeTar(files);
    v2 = await makeTar([...files.slice(0, 19), file(19, 1000)]);
  });

  afterEach(async () => {
    for (const spool of sending) await spool[Symbol.asyncDispose]();
    await receiving[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });
}

/** Replaces the spool of the receiving side with an empty spool. */
export async function renewReceiver(): Promise<void> {
  await receiving[Symbol.asyncDispose]();
  receiving = lazySpool({ XDG_CACHE_HOME: folder }, newRunId());
}

export function newCutter(): LayerCutter {
  const spool = lazySpool({ XDG_CACHE_HOME: folder }, newRunId());
  sending.push(spool);
  return new LayerCutter(spool, new PacedPacker({ codec: CODECS[0] }));
}

export async function cutLayer(plain: Buffer): Promise<StoredBlob & { cut: LayerDelta | undefined }> {
  const cutter = newCutter();
  let cut: LayerDelta | undefined;
  const files = await cutter.createFiles(digestOf(plain));
  const blob = await cutter.cut(
    files,
    () => Readable.from(chunksOf(plain)),
    (begun) => (cut = begun),
  );
  return { ...blob, cut };
}

export function* chunksOf(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += 65_000) yield bytes.subarray(at, at + 65_000);
}

export const basesOf = (...tars: Buffer[]): DeltaBases => ({
  images: tars.map((tar) => ({
    baseLayer: async () => undefined,
    async *tars() {
      yield { covers: "/", tar: Readable.from(chunksOf(tar)) };
    },
  })),
  reads: "files",
  [Symbol.asyncDispose]: async () => {},
});

/** Always chooses delta, however long it takes. */
export const ALWAYS: LayerRebuilderOptions["choice"] = {
  isByDelta: async () => true,
  watch: async () => () => {},
  stop: () => {},
};

/** Changes to the recipe, the pieces, or both as they are packed. */
export interface Harm {
  recipe?: (bytes: Buffer) => Buffer | AsyncIterable<Buffer>;
  pieces?: (bytes: Buffer) => Buffer | AsyncIterable<Buffer>;
  packed?: (bytes: Buffer) => Buffer;
}

/** Rebuilds a layer that another side has cut. */
type Cut = { cut: LayerDelta | undefined };
export async function rebuild(
  plain: Buffer,
  { cut }: Cut,
  deltaBases: DeltaBases,
  harm: Harm = {},
  {
    resumeCache,
    choice = ALWAYS,
    as = {},
  }: { resumeCache?: ResumeCache; choice?: typeof ALWAYS; as?: Partial<AnnouncedLayer> } = {},
) {
  const details: string[] = [];
  let pieceBytes = 0;
  const allOf = async (packed: Readable = Readable.from([])): Promise<Buffer> =>
    await buffer(unpack(harm.packed === undefined ? packed : Readable.from([harm.packed(await buffer(packed))])));
  const rebuilder = new LayerRebuilder({
    client: {
      recipe: async () => {
        if (cut === undefined) throw new NoRecipe("it is not");
        const bytes = await allOf(cut.recipe());
        const received = harm.recipe?.(bytes) ?? bytes;
        return Buffer.isBuffer(received) ? Readable.from([received]) : received;
      },
      async pieces(_repository, _digest, missing) {
        const bytes = await allOf(await cut?.pieces(Readable.from([missing])));
        pieceBytes += bytes.length;
        const received = harm.pieces?.(bytes) ?? bytes;
        return Buffer.isBuffer(received) ? Readable.from([received]) : received;
      },
      sizeOf: async () => plain.length,
    },
    repository: "app",
    progress: { find: () => {}, receivePieces: () => {} },
    choice,
    deltaBases,
    spool: receiving,
    resumeCache,
    limit: sizeLimit(),
    signal: new AbortController().signal,
    onBytes: () => {},
    onDetail: (detail) => details.push(detailText(detail)),
  });
  const digest = digestOf(plain);
  const layer = {
    diffId: digest,
    digest,
    mediaType: MEDIA_TYPE.ociLayer,
    size: plain.length,
    cutting: "leaves-blob" as const,
    ...as,
  };
  const result = await rebuilder.rebuild(layer);
  const rebuilt = "path" in result ? result : undefined;
  return {
    path: rebuilt?.path,
    rebuilt,
    whole: "path" in result ? undefined : result,
    pieceBytes,
    details,
    bytesFound: rebuilder.bytesFound,
  };
}

/** Images that provide base layers, and record which of their folders are read. */
export function basesOfLayers(...layers: (Buffer | undefined)[]): { deltaBases: DeltaBases; folders: string[] } {
  const folders: string[] = [];
  const images = layers.map((layer) => ({
    baseLayer: async () => layer && Readable.from(chunksOf(layer)),
    async *tars(wanted: readonly string[]) {
      folders.push(...wanted);
      yield { covers: "/app", tar: Readable.from(chunksOf(v1)) };
    },
  }));
  return { deltaBases: { images, reads: "blobs", [Symbol.asyncDispose]: async () => {} }, folders };
}
