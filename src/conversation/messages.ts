import type { Credentials } from "../engine/engine-images.ts";
import type { Digest } from "../image/digest.ts";
import type { IndexContent } from "../image/index-content.ts";
import type { Descriptor, ImageManifest } from "../image/manifest.ts";
import type { Platform } from "../image/platform.ts";
import type { Reference } from "../image/reference.ts";
import { formatCompressOption, type CompressOption } from "../packing/compress-option.ts";
import type { Message } from "../stdio-tunnel/control.ts";
import { parseIndex } from "./index-field.ts";
import { parsePlan, type ImagePlan } from "./plan.ts";
import {
  compressOption,
  count,
  DIGEST,
  list,
  manifestOf,
  matching,
  platformIn,
  references,
  repositoryPath,
  sizeIn,
  text,
} from "./fields.ts";

/**
 * The messages on the tunnel's control stream, in this order: `ask` (receiver), `about` (sender), `want` (receiver), `offer` and a `layer` for
 * each wanted layer (sender), `result` (receiver). `progress` comes at any time. Where a tunnel carries several conversations, the sender
 * names the images in `images` first, and an empty `result` ends all. Messages are untrusted input: one of another form ends the transfer.
 */

/** The tunnel's service that leads to the temporary registry. */
export const REGISTRY_SERVICE = "registry";

/** Describes the image. */
export interface About {
  /** `RootFS.Layers` of the image's config, lowest first */
  diffIds: string[];
  platform: Platform;
  /** The names that the sender gives to the image, where the receiver accepts them. */
  names?: Reference[];
  /** The sender's --keep, where the receiver accepts it */
  keep?: number;
  /** Digest of the config, where the sender knows it. In most stores it is the image's ID. */
  configDigest?: string;
  /** Either side's --preserve-digest */
  preserve?: boolean;
  /** The sender's --delta always */
  delta?: "always";
  /** With `preserve`, where both sides keep manifests: the sender's. It names a blob for each diff ID, and layers are sent as these blobs. */
  manifest?: ImageManifest;
  /**
   * The image with its index, where either side asks for several platforms: the manifests that are sent, byte for byte. The layers are then all
   * blobs that these name, in place of diff IDs by their own digests, and each is sent as it is stored.
   */
  index?: IndexContent;
  /** Bytes of each layer as the sender stores it, lowest first, where it knows them early: a plain layer has at least as many. */
  sizes?: number[];
}

/** Some layers of the image. The receiver has the others. */
export interface WantedLayers {
  kind: "layers";
  /** Empty when only manifest and config are missing. */
  diffIds: readonly Digest[];
  /** The receiver has delta bases, so layers may be sent by delta. */
  delta: boolean;
  /** The layers that an earlier run left a partial file of. */
  begun: readonly Digest[];
}

/** The whole image in a registry, from which the receiving engine pulls. */
export interface WantedImage {
  kind: "image";
  /** All of the image's. */
  diffIds: readonly Digest[];
}

/** The receiver has the image already. */
export interface NothingWanted {
  kind: "nothing";
}

/** The layers that the receiver wants, and how they may be packed. */
export type Want = (WantedLayers | WantedImage | NothingWanted) & {
  /** Names of the codecs that the receiver can unpack (packing/codecs.ts). Empty: nothing is packed. */
  codecs: readonly string[];
  /** The receiver's `--compress`. The sender's own option takes precedence. */
  compress?: CompressOption;
};

/** Names the repository of the wanted layers in the registry behind the tunnel. */
export interface Offer {
  /** Each wanted layer is announced when it can be fetched, and manifest and config come last. Otherwise all of it can be fetched now. */
  announced?: boolean;
  /** In a dry run: no layer is announced, because reading them would send them. The sizes of the `about` are all that is known. */
  unread?: boolean;
  repository: string;
  tag: string;
  credentials: Credentials;
}

/** A wanted layer that can be fetched from now on, by the digest of its blob, which may still grow. */
export interface AnnouncedLayer extends Descriptor {
  diffId: Digest;
  /** Set when the layer can also be sent by delta (delta/): a request for its recipe makes the sender cut it. */
  cutting?: Cutting;
}

/**
 * The effect of cutting on a layer's blob. `leaves-blob`: the blob stays readable. `consumes-blob`: the sender reads the layer from a stream
 * once, so the blob is gone after the cut. Either way the sender serves the plain tar by its diff ID from then on.
 */
export type Cutting = "leaves-blob" | "consumes-blob";

/** The field `pieces` of the message, for each {@link Cutting}. */
const PIECES = { "leaves-blob": "too", "consumes-blob": "instead" } as const;

/** The image is in the receiver's store under its name. */
export interface Result {
  image: string;
  /** The names of older images that --keep has removed; with a plan, those that it would remove. */
  removed?: string[];
  /** Bytes that this has freed */
  bytesFreed?: number;
  /** All of its names; left out by version 0.1 */
  names?: string[];
  id: string;
  /** Of the stored manifest, where the receiver knows it; left out by version 0.1 */
  manifestDigest?: Digest;
  layersSent: number;
  layersPresent: number;
  /** Compressed size of the present layers, bytes, as far as it is known */
  bytesPresent: number;
  /** Uncompressed bytes of the sent layers that came from delta bases */
  bytesFound: number;
  /** Bytes that came through the tunnel */
  bytesReceived: number;
  /** Of a dry run, after which nothing has changed. */
  plan?: ImagePlan;
}

const MEDIA_TYPE = /^[\w.+/-]{1,128}$/;
const TAG = /^[\w][\w.-]{0,127}$/;

export function parseOffer(message: Message): Offer {
  const { username, password } = (message.credentials ?? {}) as Record<string, unknown>;
  return {
    repository: repositoryPath(message.repository),
    tag: matching(message.tag, TAG),
    announced: message.announced === true,
    ...(message.unread === true && { unread: true }),
    credentials: { username: text(username), password: text(password) },
  };
}

export function parseAbout({
  diffIds,
  platform,
  names,
  keep,
  configDigest,
  preserve,
  delta,
  manifest,
  index,
  sizes,
}: Message): About {
  const about = {
    diffIds: list(diffIds).map((id) => matching(id, DIGEST)),
    platform: platformIn(platform),
    ...(names !== undefined && { names: references(names) }),
    ...(keep !== undefined && { keep: count(keep) }),
    ...(configDigest === undefined ? {} : { configDigest: matching(configDigest, DIGEST) }),
    ...(preserve === true && { preserve }),
    ...(delta === "always" && ({ delta } as const)),
    ...sizesOf(sizes, list(diffIds).length),
    ...(index !== undefined && { index: parseIndex(index, list(diffIds) as Digest[]) }),
  };
  return manifest === undefined ? about : { ...about, manifest: manifestOf(manifest, about.diffIds.length) };
}

/** A list of another length says nothing about the layers. */
function sizesOf(sizes: unknown, layers: number): Pick<About, "sizes"> {
  const found = sizes === undefined ? [] : list(sizes).map(sizeIn);
  return layers > 0 && found.length === layers ? { sizes: found } : {};
}

export function parseWant({ diffIds, whole, nothing, codecs = [], begun = [], delta, compress }: Message): Want {
  const layers = {
    diffIds: list(diffIds).map((id) => matching(id, DIGEST)),
    delta: delta === true,
    begun: list(begun).map((id) => matching(id, DIGEST)),
  };
  const packing = {
    codecs: list(codecs).map((name) => text(name)),
    ...(compress === undefined ? {} : { compress: compressOption(compress) }),
  };
  if (nothing === true) return { kind: "nothing", ...packing };
  if (whole === true) return { kind: "image", diffIds: layers.diffIds, ...packing };
  return { kind: "layers", ...layers, ...packing };
}

/**
 * Returns the message for a `want`; {@link parseWant} reads it. On the wire two booleans stand for the kind, as in version 0.1, so that
 * such a peer understands it.
 */
export function wantMessage({ compress, codecs, ...want }: Want): Message {
  return {
    type: "want",
    diffIds: want.kind === "nothing" ? [] : want.diffIds,
    whole: want.kind === "image",
    nothing: want.kind === "nothing",
    codecs,
    delta: want.kind === "layers" && want.delta,
    begun: want.kind === "layers" ? want.begun : [],
    ...(compress !== undefined && { compress: formatCompressOption(compress) }),
  };
}

/** Returns the message that announces a layer. {@link parseLayer} reads it. */
export function layerMessage({ cutting, ...layer }: AnnouncedLayer): Message & { type: "layer" } {
  return { type: "layer", ...layer, ...(cutting && { pieces: PIECES[cutting] }) };
}

export function parseLayer({ diffId, mediaType, digest, size, pieces }: Message): AnnouncedLayer {
  return {
    diffId: matching(diffId, DIGEST),
    mediaType: matching(mediaType, MEDIA_TYPE),
    digest: matching(digest, DIGEST),
    size: sizeIn(size),
    ...cuttingOf(pieces),
  };
}

function cuttingOf(pieces: unknown): Pick<AnnouncedLayer, "cutting"> {
  if (pieces === PIECES["leaves-blob"]) return { cutting: "leaves-blob" };
  return pieces === PIECES["consumes-blob"] ? { cutting: "consumes-blob" } : {};
}

export function parseResult(message: Message): Result {
  return {
    image: text(message.image),
    ...(message.removed !== undefined && { removed: list(message.removed).map((name) => text(name)) }),
    ...(message.bytesFreed !== undefined && { bytesFreed: count(message.bytesFreed) }),
    ...(message.names !== undefined && { names: references(message.names).map(({ given }) => given) }),
    id: text(message.id),
    ...(message.manifestDigest !== undefined && { manifestDigest: matching(message.manifestDigest, DIGEST) }),
    layersSent: count(message.layersSent),
    layersPresent: count(message.layersPresent),
    bytesPresent: count(message.bytesPresent),
    bytesFound: count(message.bytesFound ?? 0),
    bytesReceived: count(message.bytesReceived),
    ...(message.plan !== undefined && { plan: parsePlan(message.plan) }),
  };
}
