import type { Credentials } from "../engine/credentials.ts";
import type { Digest } from "../image/digest.ts";
import type { IndexContent } from "../image/index-content.ts";
import type { Descriptor, ImageManifest } from "../image/manifest.ts";
import type { Platform } from "../image/platform.ts";
import type { Reference } from "../image/reference.ts";
import { formatCompressOption, type CompressOption } from "../packing/compress-option.ts";
import type { NonEmpty } from "../non-empty.ts";
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
 * The messages on the tunnel's control stream, in this order: `ask` (receiver), `about` (sender), `want` (receiver), `offer` and a `layer`
 * for each wanted layer (sender), `result` (receiver). `progress` can be sent at any time. If a tunnel carries several conversations, the
 * sender first names the images in `images`, and an empty `result` ends all conversations. Messages are untrusted input: a malformed
 * message ends the transfer.
 */

/** The service of the tunnel that connects to the temporary registry. */
export const REGISTRY_SERVICE = "registry";

/** Describes the image. */
export interface About {
  /** `RootFS.Layers` of the image's config, lowest first */
  diffIds: string[];
  platform: Platform;
  /** The names that the sender gives to the image, if the receiver accepts them. */
  names?: Reference[];
  /** The sender's --keep, if the receiver accepts it */
  keep?: number;
  /** The digest of the config, if the sender knows it. In most stores it is the image's ID. */
  configDigest?: string;
  /** Either side's --preserve-digest */
  preserve?: boolean;
  /** The sender's --delta always */
  delta?: "always";
  /**
   * The sender's manifest, with `preserve` and if both sides store manifests. It names a blob for each diff ID, and layers are sent as
   * these blobs.
   */
  manifest?: ImageManifest;
  /**
   * The image with its index, if either side requests several platforms: the manifests that are sent, byte for byte. The layers are then
   * all blobs that these name, identified by their own digests instead of diff IDs, and each is sent as it is stored.
   */
  index?: IndexContent;
  /** The bytes of each layer as the sender stores it, lowest first, if the sender knows them early. A plain layer has at least as many. */
  sizes?: number[];
}

/** Some layers of the image. The receiver has the other layers. */
export interface WantedLayers {
  kind: "layers";
  /** Empty when only manifest and config are missing. */
  diffIds: readonly Digest[];
  /** The receiver has delta bases, so layers may be sent by delta. */
  delta: boolean;
  /** The layers of which an earlier run has left a partial file. */
  begun: readonly Digest[];
}

/** The whole image in a registry, from which the receiving engine pulls. */
export interface WantedImage {
  kind: "image";
  /** All diff IDs of the image. */
  diffIds: readonly Digest[];
}

/** The receiver already has the image. */
export interface NothingWanted {
  kind: "nothing";
}

/** The layers that the receiver wants, and how they may be packed. */
export type Want = (WantedLayers | WantedImage | NothingWanted) & {
  /** Names of the codecs that the receiver can unpack (packing/codecs.ts). If empty, nothing is packed. */
  codecs: readonly string[];
  /** The receiver's `--compress`. The sender's own option takes precedence. */
  compress?: CompressOption;
};

/** The repository of the wanted layers in the registry behind the tunnel. */
export interface Offer {
  /**
   * `announced`: each wanted layer is announced when it can be fetched, with manifest and config last. `available`: everything can be
   * fetched now. `unread`: in a dry run, reading layers would send them, so only the sizes in the `about` are known.
   */
  layers: "announced" | "available" | "unread";
  repository: string;
  tag: string;
  credentials: Credentials;
}

/** A wanted layer that can be fetched from now on, by the digest of its blob. The blob may still be growing. */
export interface AnnouncedLayer extends Descriptor {
  diffId: Digest;
  /** Set if the layer can also be sent by delta (delta/). A request for its recipe makes the sender cut it. */
  cutting?: Cutting;
}

/**
 * The effect of cutting on a layer's blob. `leaves-blob`: the blob stays readable. `consumes-blob`: the sender reads the layer from a
 * stream once, so the blob is no longer available after the cut. In both cases, the sender then serves the plain tar by its diff ID.
 */
export type Cutting = "leaves-blob" | "consumes-blob";

/** The field `pieces` of the message, for each {@link Cutting}. */
const PIECES = { "leaves-blob": "too", "consumes-blob": "instead" } as const;

/** The image is in the receiver's store under its name. */
export interface Result {
  /** All names of the image; of version 0.1, only the first. */
  names: NonEmpty<string>;
  /** The names of older images that --keep has removed; with a plan, the names that it would remove. */
  removed?: string[];
  /** Bytes that this has freed */
  bytesFreed?: number;
  id: string;
  /** The digest of the stored manifest, if the receiver knows it. Version 0.1 does not send it. */
  manifestDigest?: Digest;
  layersSent: number;
  layersPresent: number;
  /** Compressed size of the present layers, bytes, as far as it is known */
  bytesPresent: number;
  /** Uncompressed bytes of the sent layers that were found in delta bases */
  bytesFound: number;
  /** Bytes that were received through the tunnel */
  bytesReceived: number;
  /** The plan of a dry run, which changes nothing. */
  plan?: ImagePlan;
}

const MEDIA_TYPE = /^[\w.+/-]{1,128}$/;
const TAG = /^[\w][\w.-]{0,127}$/;

export function parseOffer(message: Message): Offer {
  const { username, password } = (message.credentials ?? {}) as Record<string, unknown>;
  return {
    repository: repositoryPath(message.repository),
    tag: matching(message.tag, TAG),
    layers: message.unread === true ? "unread" : message.announced === true ? "announced" : "available",
    credentials: { username: text(username), password: text(password) },
  };
}

/** Returns the message for an `offer`; {@link parseOffer} reads it. */
export function offerMessage({ layers, ...offer }: Offer): Message {
  return { type: "offer", ...offer, announced: layers === "announced", ...(layers === "unread" && { unread: true }) };
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

/** Parses the sizes. Ignores a list whose length differs from the number of layers. */
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
 * Returns the message for a `want`; {@link parseWant} reads it. On the wire, two booleans stand for the kind, as in version 0.1, so that a
 * peer of that version understands them.
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

/** Returns the message for a `result`; {@link parseResult} reads it. Version 0.1 reads the first name alone. */
export function resultMessage({ names, ...result }: Result): Omit<Message, "type"> {
  return { image: names[0], names, ...result };
}

export function parseResult(message: Message): Result {
  return {
    names: namesIn(message),
    ...(message.removed !== undefined && { removed: list(message.removed).map((name) => text(name)) }),
    ...(message.bytesFreed !== undefined && { bytesFreed: count(message.bytesFreed) }),
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

function namesIn({ image, names }: Message): Result["names"] {
  const only = text(image);
  if (names === undefined) return [only];
  const [first = only, ...others] = references(names).map(({ given }) => given);
  return [first, ...others];
}
