import { buffer } from "node:stream/consumers";
import type { EngineConnection } from "../engine/engine.ts";
import type { EngineImages, ImageInfo } from "../engine/engine-images.ts";
import { entryMatchesPlatform } from "../image/platform.ts";
import { InvalidImage } from "../image/invalid-image.ts";
import { MAX_CONFIG, parseConfig } from "../image/config.ts";
import type { Digest } from "../image/digest.ts";
import { isIndex, MEDIA_TYPE, type Descriptor, type Manifest } from "../image/manifest.ts";
import type { Reference } from "../image/reference.ts";
import { PushCollector } from "./push-collector.ts";
import { enginePush, type EnginePushOptions } from "./engine-push.ts";
import { UNKNOWN_SIZE, type PushedManifest } from "../registry/embedded/push-policy.ts";
import type { SpooledBlob } from "../registry/embedded/upload-spool.ts";

/** A layer as the engine would push it. */
export interface ProbedLayer {
  /** As the manifest says. Podman says gzip also where the digest is the diff ID, that is, of the uncompressed layer. */
  mediaType: string;
  /** What the engine asks for. On Podman it is the diff ID: what it would upload has been compressed, and is another blob. */
  digest: Digest;
  /** Of what is in it, uncompressed. */
  diffId: Digest;
  /** Bytes of the blob; undefined on graph drivers and Podman, which do not know it. */
  size: number | undefined;
}

/** An image's layer that was uploaded. The file is the receiver's to remove; the registry's end removes it at the latest. */
export interface SpooledLayer extends SpooledBlob {
  diffId: Digest;
}

/** What an engine would push. */
export interface ProbedImage {
  /** Of the manifest for the platform. */
  descriptor: Descriptor;
  /** Of that manifest, as pushed. A graph driver's, and Podman's, names sizes that are not true: `layers` says which are known. */
  bytes: Uint8Array;
  manifest: Manifest;
  /** The index that led to it, where the engine has one. */
  index: { descriptor: Descriptor; bytes: Uint8Array } | undefined;
  /** The config's bytes. */
  config: Buffer;
  platform: string;
  /** Bottom first. */
  diffIds: Digest[];
  /** Bottom first; the same order and number. */
  layers: ProbedLayer[];
  /** Layers that came along already: see {@link ProbeOptions.wanted}. */
  uploaded: SpooledLayer[];
  /** Every digest that was answered with "it is here". */
  skipped: ReadonlySet<Digest>;
}

export interface ProbeOptions extends EnginePushOptions {
  /**
   * Diff IDs of layers that are needed anyway, so that the engine may upload them when it knows no digest for them, as a graph
   * driver does of a layer that was built and never pushed. Without them such a layer ends the probe.
   */
  wanted?: ReadonlySet<Digest>;
  /** What the engine has said of the image, where that is known. */
  info?: Pick<ImageInfo, "id" | "platform">;
  /** Bytes, uncompressed, of such layers. More than that ends the probe: the engine compresses them with one thread. */
  maxBytes?: number;
}

/** Media types that containerd names when it asks for a config. */
const CONFIG_TYPES = [MEDIA_TYPE.dockerConfig, MEDIA_TYPE.ociConfig] as const;

/**
 * Learns what an engine would push, without its pushing it: lets it push, answers that every blob is here already, and takes the
 * manifest and the config. Costs some 50 ms, whatever the size. The engine's store is afterwards as before.
 *
 * Resolves to undefined, with a reason for --verbose, when it cannot be learnt so: the engine does not reach us, or has to
 * compress a layer first; that is given up at once and leaves the engine well.
 * Rejects as {@link enginePush} does.
 */
export async function probeImage(
  engine: EngineImages & EngineConnection,
  image: Reference,
  options: ProbeOptions,
): Promise<ProbedImage | undefined> {
  const info = options.info ?? (await engine.inspectImage(image.given));
  const platform = options.platform ?? info?.platform;
  // On a graph driver the image's ID is the config's digest, which it does not say when it asks.
  const configs = new Set<Digest>(info === undefined ? [] : [info.id]);
  const blobs = new Map<Digest, SpooledBlob>();
  const wants = (digest: Digest, accept: string): boolean =>
    configs.has(digest) || CONFIG_TYPES.some((type) => accept.includes(type));
  const push = async (): Promise<PushCollector> => {
    const collector = new PushCollector({
      wants,
      layers: options.wanted ?? new Set(),
      ...(options.maxBytes !== undefined && { maxBytes: options.maxBytes }),
      ...(options.wanted === undefined && { maxUpload: MAX_CONFIG }),
      onBlob: (blob) => blobs.set(blob.digest, blob),
    });
    const why = await enginePush(engine, image, collector, options);
    if (collector.root === undefined) throw new ProbeFailed(why ?? "the engine pushed no manifest");
    return collector;
  };
  try {
    let collector = await push();
    let found = choose(collector, platform);
    if (!blobs.has(found.manifest.config.digest)) {
      configs.add(found.manifest.config.digest);
      collector = await push();
      found = choose(collector, platform);
    }
    return await describe(found, blobs, collector);
  } catch (error) {
    await Promise.all([...blobs.values()].map((blob) => blob.remove()));
    if (!(error instanceof ProbeFailed || error instanceof InvalidImage)) throw error;
    options.onDetail?.(`what the engine would push of ${image.given} cannot be learnt: ${error.message}`);
    return undefined;
  }
}

/** The way does not lead there; the message says why. */
class ProbeFailed extends Error {
  override readonly name = "Unlearnt";
}

interface Chosen {
  pushed: PushedManifest;
  manifest: Manifest;
  index: ProbedImage["index"];
}

/** The manifest for the platform: what was pushed, or what its index leads to. */
function choose({ root, manifests }: PushCollector, platform: string | undefined): Chosen {
  if (root === undefined) throw new ProbeFailed("the engine pushed no manifest");
  if (!isIndex(root.parsed)) return { pushed: root, manifest: root.parsed, index: undefined };
  // Attestations are there too, for the platform unknown/unknown.
  const entries = root.parsed.manifests.filter(
    (entry) => platform !== undefined && entryMatchesPlatform(entry, platform),
  );
  for (const { digest } of entries) {
    const pushed = manifests.get(digest);
    if (pushed === undefined || isIndex(pushed.parsed)) continue;
    return { pushed, manifest: pushed.parsed, index: { descriptor: descriptorOf(root), bytes: root.bytes } };
  }
  throw new ProbeFailed(`the engine pushed no manifest for ${platform ?? "a platform that it would tell"}`);
}

async function describe(
  { pushed, manifest, index }: Chosen,
  blobs: Map<Digest, SpooledBlob>,
  { skipped }: PushCollector,
): Promise<ProbedImage> {
  const blob = blobs.get(manifest.config.digest);
  if (blob === undefined) throw new ProbeFailed("the engine did not upload its config");
  if (blob.size > MAX_CONFIG) throw new InvalidImage("its config is larger than 8 MB");
  const config = await buffer(await blob.open());
  const { diffIds, platform } = parseConfig(config);
  if (diffIds.length !== manifest.layers.length) {
    throw new InvalidImage(`its manifest has ${manifest.layers.length} layers, its config ${diffIds.length}`);
  }
  const layers = manifest.layers.map(({ mediaType, digest, size }, at) => {
    return { mediaType, digest, diffId: diffIds[at] ?? "", size: size === UNKNOWN_SIZE ? undefined : size };
  });
  const uploaded = layers.flatMap(({ digest, diffId }) => {
    const layer = blobs.get(digest);
    return blobs.delete(digest) && layer !== undefined ? [{ ...layer, diffId }] : [];
  });
  await Promise.all([...blobs.values()].map((other) => other.remove()));
  return {
    descriptor: descriptorOf(pushed),
    bytes: pushed.bytes,
    manifest,
    index,
    config,
    platform,
    diffIds,
    layers,
    uploaded,
    skipped,
  };
}

function descriptorOf({ mediaType, digest, bytes }: PushedManifest): Descriptor {
  return { mediaType, digest, size: bytes.length };
}
