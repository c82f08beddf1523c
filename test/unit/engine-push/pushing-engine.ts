import { once } from "node:events";
import type { Engine } from "../../../src/engine/engine.ts";
import type { ImageInfo, ImageTransferOptions } from "../../../src/engine/engine-images.ts";
import { EngineError } from "../../../src/engine/engine-error.ts";
import { hexOf } from "../../../src/image/digest.ts";
import { MEDIA_TYPE, encodeManifest } from "../../../src/image/manifest.ts";
import { basicAuth } from "../../../src/registry/password.ts";
import { sendRequest, type RequestOptions, type Response } from "../registry/embedded/client.ts";
import { image, type TestBlob, type TestImage, type TestLayer } from "../registry/embedded/test-images.ts";
import { AMD64 } from "../image/platforms.ts";

type SendRequest = (method: string, path: string, options?: RequestOptions) => Promise<Response>;

/** Pushes an image, as an engine does when it has the name. */
type PushImage = (send: SendRequest, push: { tag: string } & ImageTransferOptions) => Promise<void>;

/** A fake engine with one image, `app`. Only its push is real: it sends HTTP requests to the registry in the name. */
export interface PushingEngine extends Engine {
  /** The requests that the engine has sent, in order: `HEAD digest`, `POST`, `PUT manifest`, … */
  readonly sent: string[];
  /** The image's names. */
  readonly names: Set<string>;
}

export function pushingEngine(pushImage: PushImage, info: Partial<ImageInfo> = {}): PushingEngine {
  const names = new Set<string>();
  const sent: string[] = [];
  const engine: Partial<PushingEngine> = {
    sent,
    names,
    reachesUs: true,
    inspectImage: async () => ({
      id: "",
      diffIds: [],
      platform: AMD64,
      repoTags: [],
      repoDigests: [],
      size: 0,
      ...info,
    }),
    tagImage: async (_, target) => void names.add(target),
    removeReference: async (name) => void names.delete(name),
    removeDigestReferences: async () => {},
    async pushImage(name, options = {}) {
      const [, port, repository, tag = ""] = /^127\.0\.0\.1:([0-9]+)\/(.+):(.+)$/.exec(name) ?? [];
      const authorization = options.credentials && basicAuth(options.credentials);
      const pushing = pushImage(
        async (method, path, { headers, body } = {}) => {
          options.signal?.throwIfAborted();
          sent.push(`${method} ${path.replace(/uploads\/[0-9a-f-]{36}/, "uploads/ID")}`);
          const at = path.startsWith("/") ? path : `/v2/${repository}/${path}`;
          const answer = await sendRequest({ port, method, path: at, headers: { authorization, ...headers } }, body);
          // As in real engines, 404 means that a blob is missing, and any other error ends the push.
          if ((answer.status ?? 0) < 300 || (answer.status === 404 && method === "HEAD")) return answer;
          throw new EngineError(`unexpected status ${answer.status}: ${answer.body.toString()}`);
        },
        { ...options, tag },
      );
      pushing.catch(() => {}); // after the signal, it may wait for an answer for ever
      await Promise.race([pushing, aborted(options.signal)]);
    },
  };
  return engine as PushingEngine;
}

/** Rejects when the signal is aborted. */
async function aborted(signal = new AbortController().signal): Promise<never> {
  await once(signal, "abort");
  throw signal.reason;
}

/** A containerd store. It requests every blob with its media type, and uploads blobs as they are stored. */
export function containerd(images: TestImage[], { index = false, namesMediaTypes = true } = {}): PushImage {
  return async (send, { tag }) => {
    const pushBlob = async (it: TestBlob, accept: string): Promise<void> => {
      const headers = namesMediaTypes ? { accept: `${accept}, */*` } : {};
      if ((await send("HEAD", `blobs/${it.digest}`, { headers })).status === 200) return;
      const { location = "" } = (await send("POST", "blobs/uploads/")).headers;
      await send("PUT", `${location}?digest=${it.digest}`, { body: it.bytes });
    };
    for (const { layers, config, manifest, descriptor } of images) {
      await Promise.all([
        ...layers.map((layer) => pushBlob(layer, MEDIA_TYPE.ociLayerGzip)),
        pushBlob(config, MEDIA_TYPE.ociConfig),
      ]);
      await send("PUT", `manifests/${index ? descriptor.digest : tag}`, {
        headers: { "content-type": MEDIA_TYPE.ociManifest },
        body: manifest,
      });
    }
    if (index) await send("PUT", `manifests/${tag}`, { body: indexOf(images) });
  };
}

function indexOf(images: TestImage[]): string {
  const manifests = images.map(({ descriptor, config }) => {
    const { os, architecture } = JSON.parse(config.bytes.toString()) as { os: string; architecture: string };
    return { ...descriptor, platform: { os, architecture } };
  });
  return JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests });
}

/**
 * A graph driver. It requests the digests that it knows for a layer, compresses and uploads the layer if all are missing, and builds its manifest
 * from the sizes in the answers.
 */
export function graphdriver(
  layers: (TestLayer & { known: string[]; total?: number })[],
  compressed = layers,
): PushImage {
  return async (send, { tag, onProgress, signal }) => {
    const upload = async ({ bytes, digest }: TestBlob, onBegun = (): void => {}): Promise<void> => {
      const { location = "" } = (await send("POST", "blobs/uploads/")).headers;
      onBegun();
      signal?.throwIfAborted();
      const answer = await send("PATCH", location, { body: bytes });
      await send("PUT", `${answer.headers.location}?digest=${digest}`, { headers: { "content-length": 0 } });
    };
    const sizes = new Map<string, number>();
    const isPresent = async (digest: string): Promise<boolean> => {
      const { status, headers } = await send("HEAD", `blobs/${digest}`);
      if (status === 200) sizes.set(digest, Number(headers["content-length"]));
      return status === 200;
    };
    const final = await Promise.all(
      layers.map(async (layer, at): Promise<TestLayer> => {
        const id = hexOf(layer.diffId).slice(0, 12);
        onProgress?.({ id, status: "Preparing" });
        for (const digest of layer.known) {
          if (!(await isPresent(digest))) continue;
          onProgress?.({ id, status: "Layer already exists" });
          return { ...layer, digest };
        }
        const own = compressed[at] ?? layer;
        const total = layer.total ?? own.bytes.length;
        await upload(own, () => onProgress?.({ id, status: "Pushing", current: 512, total }));
        sizes.set(own.digest, own.bytes.length);
        onProgress?.({ id, status: "Pushed" });
        return own;
      }),
    );
    const { config } = image(layers);
    if (!(await isPresent(config.digest))) await upload(config);
    const { bytes } = encodeManifest({
      mediaType: MEDIA_TYPE.dockerManifest,
      config: { mediaType: MEDIA_TYPE.dockerConfig, digest: config.digest, size: config.bytes.length },
      layers: final.map(({ digest }) => ({
        mediaType: MEDIA_TYPE.dockerLayerGzip,
        digest,
        size: sizes.get(digest) ?? 0,
      })),
    });
    await send("PUT", `manifests/${tag}`, { headers: { "content-type": MEDIA_TYPE.dockerManifest }, body: bytes });
  };
}
