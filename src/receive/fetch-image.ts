import { REGISTRY_SERVICE, type AnnouncedLayer, type Offer } from "../conversation/messages.ts";
import { sizeLimit } from "../image/layer/size-limit.ts";
import type { Digest } from "../image/digest.ts";
import type { Manifest } from "../image/manifest.ts";
import { bytes } from "../output/describe.ts";
import { RegistryClient } from "../registry/registry-client.ts";
import type { Spool } from "../run/spool.ts";
import type { LayerFile } from "../store/store.ts";
import { queue, type Queue } from "../streams/queue.ts";
import { namedBlobs, type ReceiveOptions } from "./received-image.ts";
import type { FetchOptions } from "./incoming-layer.ts";
import { DeltaChoice, type RebuildSpeed } from "../rebuild/delta-choice.ts";
import { LinkRate } from "../rebuild/link-rate.ts";
import { fetchLayers } from "./fetch-layers.ts";
import { readImageMetadata, type ImageMetadata } from "./read-image-metadata.ts";
import { addRebuilder } from "../rebuild/add-rebuilder.ts";
import type { DeltaBases } from "../rebuild/delta-bases.ts";

/** An image of which all is here that was missing. */
export interface Received extends ImageMetadata {
  /** The layers that have come, bottom first. */
  files: LayerFile[];
  /** Of them, what was in the seeds; plain bytes. */
  bytesFound: number;
}

/** A client of the registry that the offer is in. Dispose of it. */
export function clientFor({ credentials }: Offer, { tunnel, signal }: ReceiveOptions): RegistryClient {
  return new RegistryClient({ connect: () => tunnel.connect(REGISTRY_SERVICE), credentials, signal });
}

/** What is coming. Dispose of it when all has come. */
export interface Incoming extends Disposable {
  /** Each wanted layer once, when it can be fetched. */
  layers: Queue<AnnouncedLayer>;
  /** Those of them that can be had in pieces. */
  cuttable: Queue<AnnouncedLayer>;
  /** What to do with those. */
  choose: (speed: RebuildSpeed) => DeltaChoice;
  fetching: FetchOptions;
  /** Manifest and config: they may be there only when all layers have been fetched. */
  opened: () => Promise<ImageMetadata>;
}

/**
 * Asks for the layers `wanted`. Those that the sender announces can be fetched while it still takes others out of its
 * store; a registry that has everything says in its manifest what there is. With `seeds`, they may come in pieces.
 */
export async function ask(
  options: ReceiveOptions,
  wanted: readonly Digest[],
  deltaBases: DeltaBases | undefined,
): Promise<Incoming> {
  const { about, signal, resumeCache, output, onProgress, maxSize } = options;
  const delta = deltaBases !== undefined;
  const sayWhole = (why: string): void => {
    if (wanted.length > 0) output.detail(`missing layers are sent whole: ${why}`);
  };
  if (!delta) sayWhole(options.noDeltaReason ?? "there are no files here of an image that is like it");
  const begun = (await resumeCache?.findPartial(wanted)) ?? [];
  const want = { kind: "layers", diffIds: wanted, begun, delta } as const;
  const { offer, layers: announced, cuttable } = await options.obtain(want);
  if (delta && !offer.announced) sayWhole("the sending side has them in a registry");
  const client = clientFor(offer, options);
  const { tunnel } = options;
  const rate = new LinkRate({
    bytesReceived: () => tunnel.bytesReceived,
    probe: async (count, late) => await client.probe(offer.repository, count, AbortSignal.any([signal, late])),
    limit: options.bwlimit,
  });
  const choose = (speed: RebuildSpeed): DeltaChoice =>
    new DeltaChoice({
      always: options.delta === "always",
      speed,
      rate,
      resumed: async ({ diffId, digest }) => ({
        whole: (await resumeCache?.bytesOf(digest)) ?? 0,
        byDelta: (await resumeCache?.bytesOfPartialRebuild(diffId)) ?? 0,
      }),
      onDetail: (text) => output.detail(text),
    });
  const progress = { stage: "sending", current: 0, layers: { done: 0, total: new Set(wanted).size } };
  const fetching = {
    client,
    repository: offer.repository,
    signal,
    resumeCache,
    named: namedBlobs(about),
    onBytes: (count: number) => {
      progress.current += count;
      rate.note();
      onProgress(progress);
    },
    onContinued: ({ digest, size }: AnnouncedLayer, there: number) =>
      output.detail(`the layer ${digest} is continued: ${bytes(there)} of ${bytes(size)} are here`),
    onLayer: () => progress.layers.done++,
    limit: sizeLimit(maxSize),
  };
  let opening: Promise<ImageMetadata> | undefined;
  const open = async (): Promise<ImageMetadata> => await (opening ??= readImageMetadata(client, offer, options));
  const close = (): void => client[Symbol.dispose]();
  open().catch(() => {}); // asked for at once, given when they are there: no round trip after the last layer
  if (offer.announced) return { layers: announced, cuttable, choose, fetching, opened: open, [Symbol.dispose]: close };
  try {
    const opened = await open();
    const layers = layersOf(opened.manifest, about.diffIds, wanted);
    return { layers, cuttable, choose, fetching, opened: async () => opened, [Symbol.dispose]: close };
  } catch (error) {
    close();
    throw error;
  }
}

/** Brings the layers `wanted`, bottom first, into the spool, proven; those that can be are made of the `seeds`. */
export async function receive(
  options: ReceiveOptions,
  wanted: readonly Digest[],
  spool: Spool,
  deltaBases: DeltaBases | undefined,
): Promise<Received> {
  using incoming = await ask(options, wanted, deltaBases);
  const onDetail = (text: string): void => options.output.detail(text);
  // A file or a folder is given what has come; nothing is unpacked.
  const choice = incoming.choose({ reads: deltaBases?.reads ?? "files", takesIn: undefined });
  const makings = { deltaBases, spool: { open: async () => spool }, onDetail, choice };
  await using rebuilt = addRebuilder(incoming.fetching, incoming.cuttable, makings);
  const { fetch: fetching, bytesFound } = rebuilt;
  const come = new Map<Digest, LayerFile>();
  for await (const file of fetchLayers(incoming.layers, wanted, spool, fetching)) come.set(file.diffId, file);
  const files = wanted.flatMap((diffId) => come.get(diffId) ?? []);
  return { files, bytesFound: bytesFound(), ...(await incoming.opened()) };
}

/** The blobs of an image's wanted layers, each once. */
function layersOf({ layers }: Manifest, diffIds: readonly Digest[], wanted: readonly Digest[]): Queue<AnnouncedLayer> {
  const found = queue<AnnouncedLayer>();
  for (const diffId of new Set(wanted)) {
    const blob = layers[diffIds.indexOf(diffId)];
    if (blob !== undefined) found.push({ diffId, ...blob });
  }
  found.end();
  return found;
}
