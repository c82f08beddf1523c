import type { Credentials } from "./engine/engine.ts";
import { isRunId, type RunId } from "./engine/run-id.ts";
import type { Digest } from "./image/digest.ts";
import { InvalidImage, parseSentManifest, type Descriptor, type SentManifest } from "./image/manifest.ts";
import { parseReference } from "./image/reference.ts";
import { InvalidChoice, parseChoice, type Choice } from "./packing/choice.ts";
import { Failure } from "./output/errors.ts";
import type { Output, Progress } from "./output/output.ts";
import type { Message } from "./stdio-tunnel/control.ts";
import { queue, type Queue } from "./streams/queue.ts";
import type { Tunnel } from "./stdio-tunnel/session.ts";

/**
 * What the two sides say to each other on the tunnel's control stream, in this order:
 * `ask` (receiver) · `about` (sender) · `want` (receiver) · `offer`, and for each layer that is cut into pieces `cutting`, for each
 * one `layer` (sender) · `result` (receiver); `progress`
 * comes from the spawned side at any time.
 * All of it is hostile input: what does not have its form ends the transfer.
 */

/** The service of the tunnel that leads to the temporary registry. */
export const REGISTRY_SERVICE = "registry";

/** The receiver is ready, and asks for this. */
export interface Ask {
  image: string;
  run: RunId;
  /** When the receiver was told one. */
  platform?: string | undefined;
  /** `os/arch` of the engine there; of several variants it would have that one. */
  runs?: string | undefined;
  /** The place there keeps an image's manifest. */
  keepsManifests?: boolean;
  /** The manifest is to be the same there, so it was told. */
  preserve?: boolean;
}

/** What the image is. */
export interface About {
  /** `RootFS.Layers` of the image, bottom first: what must be there in the end. */
  diffIds: string[];
  platform: string;
  /** Digest of its config, where the sender's engine knows it without looking: it is then the image's ID. */
  configDigest?: string;
  /** One side was told that the manifest is to be the same. */
  preserve?: boolean;
  /** Then, where both sides keep manifests: the sender's own, which names a blob for each diff ID, and layers come as it names them. */
  manifest?: SentManifest;
}

/** What the receiver lacks. */
export interface Want {
  /** Of the layers that must come; empty when only manifest and config must. */
  diffIds: string[];
  /** The engine is to pull by itself: it needs a registry that holds the whole image. */
  whole: boolean;
  /** The receiver has the image: nothing needs to come at all. */
  nothing: boolean;
  /** Names of what the receiver can unpack (packing/codecs.ts). None: nothing is to be packed. */
  codecs: readonly string[];
  /** The receiver has images with files that may be in these layers: they can be sent in pieces (delta/). */
  delta: boolean;
  /** How layers are to be packed, when the receiver was told; the sender may have been told something else. */
  compress?: Choice;
  /** Those of the layers of which an earlier run has left it the beginning, if they are the blobs that it had then. */
  begun?: readonly string[];
}

/** What was wanted is in the registry behind the tunnel. */
export interface Offer {
  /** Each wanted layer is announced when it can be fetched, manifest and config come last; else all is there already. */
  announced?: boolean;
  repository: string;
  tag: string;
  credentials: Credentials;
}

/** A wanted layer that can be fetched from now on, by the digest of its blob; it may still be growing. */
export interface AnnouncedLayer extends Descriptor {
  diffId: Digest;
  /** It can be had in pieces, too. */
  isCut?: boolean;
}

/** The image is in the receiver's store under its name. */
export interface Result {
  image: string;
  id: string;
  layersSent: number;
  layersPresent: number;
  /** Compressed size of the layers that were there already, bytes, as far as it is known. */
  bytesPresent: number;
  /** Plain bytes of the others that were found in files of images that were there. */
  bytesFound: number;
  /** Bytes that came through the tunnel. */
  bytesReceived: number;
}

/** Bytes. Above it, a JavaScript number does not tell two apart; no layer comes near. */
const MAX_SIZE = 2 ** 50;
const MEDIA_TYPE = /^[\w.+/-]{1,128}$/;
const DIGEST = /^sha256:[0-9a-f]{64}$/;
const TAG = /^[\w][\w.-]{0,127}$/;
const PLATFORM = /^[a-z0-9]+\/[a-z0-9_]+(?:\/[a-z0-9.]+)?$/;
/** No engine takes an image of more; a list without end would only fill the memory. */
const MAX_LAYERS = 1000;
const MAX_TEXT = 512;

export function parseAsk({ image, run, platform, runs, keepsManifests, preserve }: Message): Ask {
  const ask = { image: text(image), run: text(run) };
  if (!isRunId(ask.run) || !isReference(ask.image)) throw malformed("ask");
  return {
    ...ask,
    ...(platform === undefined ? {} : { platform: matching(platform, PLATFORM) }),
    ...(runs === undefined ? {} : { runs: matching(runs, PLATFORM) }),
    ...(keepsManifests === true && { keepsManifests }),
    ...(preserve === true && { preserve }),
  };
}

export function parseOffer(message: Message): Offer {
  const { username, password } = (message.credentials ?? {}) as Record<string, unknown>;
  return {
    repository: repositoryPath(message.repository),
    tag: matching(message.tag, TAG),
    announced: message.announced === true,
    credentials: { username: text(username), password: text(password) },
  };
}

export function parseAbout({ diffIds, platform, configDigest, preserve, manifest }: Message): About {
  const about = {
    diffIds: list(diffIds).map((id) => matching(id, DIGEST)),
    platform: matching(platform, PLATFORM),
    ...(configDigest === undefined ? {} : { configDigest: matching(configDigest, DIGEST) }),
    ...(preserve === true && { preserve }),
  };
  return manifest === undefined ? about : { ...about, manifest: manifestOf(manifest, about.diffIds.length) };
}

/** A manifest's bytes, as they go into a message. */
export function manifestText({ bytes }: SentManifest): string {
  return bytes.toString("base64");
}

export function parseWant({ diffIds, whole, nothing, codecs = [], begun = [], delta, compress }: Message): Want {
  return {
    diffIds: list(diffIds).map((id) => matching(id, DIGEST)),
    whole: whole === true,
    nothing: nothing === true,
    codecs: list(codecs).map((name) => text(name)),
    delta: delta === true,
    ...(compress === undefined ? {} : { compress: choice(compress) }),
    begun: list(begun).map((id) => matching(id, DIGEST)),
  };
}

export function parseLayer({ diffId, mediaType, digest, size, isCut }: Message): AnnouncedLayer {
  const layer = {
    diffId: matching(diffId, DIGEST),
    mediaType: matching(mediaType, MEDIA_TYPE),
    digest: matching(digest, DIGEST),
    size: count(size),
    ...(isCut === true && { isCut }),
  };
  if (layer.size > MAX_SIZE) throw malformed("number");
  return layer;
}

/** What the sender tells of the layers that were asked for. */
export interface Announcements {
  /** Those that can be fetched, until all have been told, in any order. */
  layers: Queue<AnnouncedLayer>;
  /** Before that, those that are being cut: of what they are made can be read already. Ends with the others. */
  cutting: Queue<Digest>;
}

/**
 * Hears what the sender announces, until all of `wanted` can be fetched: each of them once. Begin before the sender can announce
 * any. Another layer ends the tunnel.
 */
export function hearLayers(tunnel: Tunnel, wanted: readonly Digest[]): Announcements {
  const open = new Set(wanted);
  const begun = new Set<Digest>();
  const [layers, cutting] = [queue<AnnouncedLayer>(), queue<Digest>()];
  const endIfAll = (): void => {
    if (open.size > 0) return;
    layers.end();
    cutting.end();
  };
  endIfAll();
  tunnel.on("cutting", ({ diffId }) => {
    const digest = matching(diffId, DIGEST);
    if (!open.has(digest) || begun.has(digest)) throw malformed("cutting, of a layer which was not asked for");
    begun.add(digest);
    cutting.push(digest);
  });
  tunnel.on("layer", (message) => {
    const layer = parseLayer(message);
    if (!open.delete(layer.diffId)) throw malformed("layer, which was not asked for");
    layers.push(layer);
    endIfAll();
  });
  return { layers, cutting };
}

export function parseResult(message: Message): Result {
  return {
    image: text(message.image),
    id: text(message.id),
    layersSent: count(message.layersSent),
    layersPresent: count(message.layersPresent),
    bytesPresent: count(message.bytesPresent),
    bytesFound: count(message.bytesFound ?? 0),
    bytesReceived: count(message.bytesReceived),
  };
}

function parseProgress(message: Message): Progress {
  const { done, total } = (message.layers ?? {}) as Record<string, unknown>;
  return {
    stage: text(message.stage).slice(0, 40),
    current: count(message.current),
    ...(message.total === undefined ? {} : { total: count(message.total) }),
    ...(message.layers === undefined ? {} : { layers: { done: count(done), total: count(total) } }),
  };
}

/** ms between two progress messages of one stage. */
const SEND_EVERY = 100;

/**
 * Where this side reports its progress. The spawner's user sees it, whichever side makes it: the spawner shows its own
 * and what it hears, the spawned side sends.
 */
export function shareProgress(tunnel: Tunnel, spawner: boolean, output: Output): (progress: Progress) => void {
  if (spawner) {
    tunnel.on("progress", (message) => output.progress(parseProgress(message)));
    return (progress) => output.progress(progress);
  }
  let last = { stage: "", at: 0 };
  return (progress) => {
    const at = performance.now();
    if (progress.stage === last.stage && at - last.at < SEND_EVERY) return;
    last = { stage: progress.stage, at };
    void tunnel.send({ type: "progress", ...progress });
  };
}

function malformed(what: string): Failure {
  return new Failure("transfer-failed", `the far end broke the protocol: a malformed ${what}`, {
    expected: "the messages of this version of docker-over-ssh",
    hint: "Install the same version on both sides.",
  });
}

function text(value: unknown): string {
  if (typeof value !== "string" || value.length > MAX_TEXT) throw malformed("text");
  return value;
}

/** A path in a registry, which goes into URLs and names: what a reference allows, and no more. */
function repositoryPath(value: unknown): string {
  const path = text(value);
  if (!isReference(`localhost/${path}`) || parseReference(`localhost/${path}`).path !== path) throw malformed("name");
  return path;
}

function isReference(given: string): boolean {
  try {
    parseReference(given);
    return true;
  } catch {
    return false;
  }
}

function matching(value: unknown, form: RegExp): string {
  const words = text(value);
  if (!form.test(words)) throw malformed("name");
  return words;
}

/** An image's manifest with so many layers; its bytes are those of {@link manifestText}. */
function manifestOf(value: unknown, layers: number): SentManifest {
  if (typeof value !== "string") throw malformed("manifest");
  try {
    const manifest = parseSentManifest(Buffer.from(value, "base64"));
    if (manifest.layers.length === layers) return manifest;
  } catch (error) {
    if (!(error instanceof InvalidImage)) throw error;
  }
  throw malformed("manifest");
}

function choice(value: unknown): Choice {
  try {
    return parseChoice(text(value));
  } catch (error) {
    throw error instanceof InvalidChoice ? malformed("choice") : error;
  }
}

function count(value: unknown): number {
  if (!Number.isSafeInteger(value) || Number(value) < 0) throw malformed("number");
  return Number(value);
}

function list(value: unknown): unknown[] {
  if (!Array.isArray(value) || value.length > MAX_LAYERS || value.includes(null)) throw malformed("list");
  return value;
}
