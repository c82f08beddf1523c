import { buffer } from "node:stream/consumers";
import type { EngineConnection } from "../engine/engine.ts";
import type { EngineImages, ImageInfo } from "../engine/engine-images.ts";
import { entryMatchesPlatform, formatPlatform, type Platform } from "../image/platform.ts";
import { InvalidImage } from "../image/invalid-image.ts";
import { MAX_CONFIG, parseConfig } from "../image/config.ts";
import type { Digest } from "../image/digest.ts";
import { isIndex, MEDIA_TYPE, type Descriptor, type Manifest } from "../image/manifest.ts";
import type { Reference } from "../image/reference.ts";
import { pushFailureText, type PushFailure } from "../output/reasons.ts";
import { SelectivePushHandler } from "./selective-push-handler.ts";
import { enginePush, type EnginePushOptions } from "./engine-push.ts";
import { UNKNOWN_SIZE, type PushedManifest } from "../registry/embedded/push/push-policy.ts";
import type { SpooledBlob } from "../registry/embedded/push/upload-spool.ts";

/** A layer as the engine would push it. */
export interface DryPushLayer {
  /** From the manifest. Podman names gzip even if the digest is the diff ID of the plain layer. */
  mediaType: string;
  /** The digest that the engine requests. Podman requests the diff ID, although it would upload a compressed blob with another digest. */
  digest: Digest;
  diffId: Digest;
  /** Bytes of the blob; undefined for graph drivers and Podman, which do not know the size. */
  size: number | undefined;
}

/** A layer in a file of the spool. Its owner removes the file; otherwise the file is removed with the spool. */
export interface SpooledLayer extends SpooledBlob {
  diffId: Digest;
}

/** The result of a dry push. */
export interface DryPushResult {
  /** The descriptor of the manifest for the platform. */
  descriptor: Descriptor;
  /** The manifest's bytes as pushed. Manifests of graph drivers and Podman contain wrong sizes: `layers` has the known sizes. */
  bytes: Uint8Array;
  manifest: Manifest;
  /** The index that names the manifest, if the engine has one. */
  index: { descriptor: Descriptor; bytes: Uint8Array } | undefined;
  /** The exact bytes. */
  config: Buffer;
  platform: Platform;
  /** Bottom first. */
  diffIds: Digest[];
  /** Bottom first, one for each diff ID. */
  layers: DryPushLayer[];
  /** Layers that were uploaded during the dry push: see {@link DryPushOptions.wanted}. */
  uploaded: SpooledLayer[];
  /** The blobs that the engine did not upload, because they were reported as present. */
  skipped: ReadonlySet<Digest>;
}

export interface DryPushOptions extends EnginePushOptions {
  /**
   * Diff IDs of wanted layers. The engine may upload them if it does not know their digests: a graph driver does not know the digest of a
   * layer that was built and never pushed. Any other layer without a digest ends the dry push.
   */
  wanted?: ReadonlySet<Digest>;
  /** The engine's info about the image, if the caller has it. */
  info?: Pick<ImageInfo, "id" | "platform">;
  /** The maximum plain bytes of uploaded layers, because the engine compresses them with one thread. More bytes end the dry push. */
  maxBytes?: number;
}

/** Media types that containerd names when it requests a config. */
const CONFIG_TYPES = [MEDIA_TYPE.dockerConfig, MEDIA_TYPE.ociConfig] as const;

/**
 * Performs a dry push: lets an engine push, reports every layer as present, and receives manifest and config. Takes about 50 ms, whatever
 * the size, and leaves the engine's store unchanged.
 *
 * Returns undefined, and reports the reason for --verbose, if the engine does not reach this process, or would have to compress a layer
 * first, which is given up immediately. Rejects as {@link enginePush} does.
 */
export async function dryPush(
  engine: EngineConnection & EngineImages,
  image: Reference,
  options: DryPushOptions,
): Promise<DryPushResult | undefined> {
  const info = options.info ?? (await engine.inspectImage(image.given));
  const platform = options.platform ?? info?.platform;
  // A graph driver's image ID is the digest of the config. Its request for the config does not name the media type.
  const configs = new Set<Digest>(info === undefined ? [] : [info.id]);
  const blobs = new Map<Digest, SpooledBlob>();
  const push = async (): Promise<SelectivePushHandler> => await pushOnce(engine, image, options, configs, blobs);
  try {
    let handler = await push();
    let chosen = chooseManifest(handler, platform);
    if (!blobs.has(chosen.manifest.config.digest)) {
      configs.add(chosen.manifest.config.digest);
      handler = await push();
      chosen = chooseManifest(handler, platform);
    }
    return await describeImage(chosen, blobs, handler);
  } catch (error) {
    await Promise.all([...blobs.values()].map((blob) => blob.remove()));
    options.onDetail?.({ code: "dry-push-failed", image: image.given, reason: reasonOf(error) });
    return undefined;
  }
}

/** A dry push that yields no result. */
class DryPushFailed extends Error {
  override readonly name = "DryPushFailed";
  readonly reason: PushFailure;

  constructor(reason: PushFailure) {
    super(pushFailureText(reason));
    this.reason = reason;
  }
}

/** Returns the reason why a dry push yields no result. Throws any other error. */
function reasonOf(error: unknown): PushFailure {
  if (error instanceof DryPushFailed) return error.reason;
  if (error instanceof InvalidImage) return { code: "invalid-image", error: error.message };
  throw error;
}

/** Lets the engine push once. Puts the blobs that it uploads into `blobs`. */
async function pushOnce(
  engine: EngineConnection & EngineImages,
  image: Reference,
  options: DryPushOptions,
  configs: ReadonlySet<Digest>,
  blobs: Map<Digest, SpooledBlob>,
): Promise<SelectivePushHandler> {
  const handler = new SelectivePushHandler({
    wants: (digest, accept) => configs.has(digest) || CONFIG_TYPES.some((type) => accept.includes(type)),
    layers: options.wanted ?? new Set(),
    ...(options.maxBytes !== undefined && { maxBytes: options.maxBytes }),
    ...(options.wanted === undefined && { maxUpload: MAX_CONFIG }),
    onBlob: (blob) => blobs.set(blob.digest, blob),
  });
  const reason = await enginePush(engine, image, handler, options);
  if (handler.root === undefined) throw new DryPushFailed(reason ?? { code: "no-manifest" });
  return handler;
}

interface ChosenManifest {
  pushed: PushedManifest;
  manifest: Manifest;
  index: DryPushResult["index"];
}

/** Chooses the manifest for the platform: the pushed manifest, or one that the pushed index names. */
function chooseManifest({ root, manifests }: SelectivePushHandler, platform: Platform | undefined): ChosenManifest {
  if (root === undefined) throw new DryPushFailed({ code: "no-manifest" });
  if (!isIndex(root.parsed)) return { pushed: root, manifest: root.parsed, index: undefined };
  // The index also names attestations, for the platform unknown/unknown.
  const entries = root.parsed.manifests.filter(
    (entry) => platform !== undefined && entryMatchesPlatform(entry, platform),
  );
  for (const { digest } of entries) {
    const pushed = manifests.get(digest);
    if (pushed === undefined || isIndex(pushed.parsed)) continue;
    return { pushed, manifest: pushed.parsed, index: { descriptor: descriptorOf(root), bytes: root.bytes } };
  }
  throw new DryPushFailed({ code: "no-manifest-for-platform", platform: platform && formatPlatform(platform) });
}

async function describeImage(
  { pushed, manifest, index }: ChosenManifest,
  blobs: Map<Digest, SpooledBlob>,
  { skipped }: SelectivePushHandler,
): Promise<DryPushResult> {
  const configBlob = blobs.get(manifest.config.digest);
  if (configBlob === undefined) throw new DryPushFailed({ code: "no-config" });
  if (configBlob.size > MAX_CONFIG) throw new InvalidImage("its config is larger than 8 MB");
  const config = await buffer(await configBlob.open());
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
  const descriptor = descriptorOf(pushed);
  return { descriptor, bytes: pushed.bytes, manifest, index, config, platform, diffIds, layers, uploaded, skipped };
}

function descriptorOf({ mediaType, digest, bytes }: PushedManifest): Descriptor {
  return { mediaType, digest, size: bytes.length };
}
