import { once } from "node:events";
import type { Engine } from "../../../src/engine/engine.ts";
import type { ImageInfo, TransferOptions } from "../../../src/engine/engine-images.ts";
import { EngineError } from "../../../src/engine/engine-error.ts";
import { hexOf } from "../../../src/image/digest.ts";
import { MEDIA_TYPE, encodeManifest } from "../../../src/image/manifest.ts";
import { basicAuth } from "../../../src/registry/password.ts";
import { ask, type Answer, type Question } from "../registry/embedded/client.ts";
import { image, type TestBlob, type TestImage, type TestLayer } from "../registry/embedded/test-images.ts";

type Ask = (method: string, path: string, question?: Question) => Promise<Answer>;

/** How an engine pushes, once it has the name and may ask the registry. */
type Connect = (ask: Ask, push: { tag: string } & TransferOptions) => Promise<void>;

/** An engine with one image, `app`, of which nothing but the push is real: it speaks HTTP to whatever the name says. */
export interface PushingEngine extends Engine {
  /** What it has sent, in order: `HEAD digest`, `POST`, `PUT manifest`, … */
  readonly sent: string[];
  /** The names that it has. */
  readonly names: Set<string>;
}

export function pushingEngine(way: Connect, info: Partial<ImageInfo> = {}): PushingEngine {
  const names = new Set<string>();
  const sent: string[] = [];
  const engine: Partial<PushingEngine> = {
    sent,
    names,
    reachesUs: true,
    inspectImage: async () => ({
      id: "",
      diffIds: [],
      platform: "linux/amd64",
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
      const pushing = way(
        async (method, path, { headers, body } = {}) => {
          options.signal?.throwIfAborted();
          sent.push(`${method} ${path.replace(/uploads\/[0-9a-f-]{36}/, "uploads/ID")}`);
          const at = path.startsWith("/") ? path : `/v2/${repository}/${path}`;
          const answer = await ask({ port, method, path: at, headers: { authorization, ...headers } }, body);
          // As engines do: 404 has a meaning, any other refusal ends the push.
          if ((answer.status ?? 0) < 300 || (answer.status === 404 && method === "HEAD")) return answer;
          throw new EngineError(`unexpected status ${answer.status}: ${answer.body.toString()}`);
        },
        { ...options, tag },
      );
      pushing.catch(() => {}); // ended by the signal, it may be waiting for an answer that never comes
      await Promise.race([pushing, aborted(options.signal)]);
    },
  };
  return engine as PushingEngine;
}

/** Rejects when it is. */
async function aborted(signal = new AbortController().signal): Promise<never> {
  await once(signal, "abort");
  throw signal.reason;
}

/** A containerd store: asks for every blob, telling its media type, and sends what it has stored. */
export function containerd(images: TestImage[], { index = false, tellsTypes = true } = {}): Connect {
  return async (ask, { tag }) => {
    const send = async (it: TestBlob, accept: string): Promise<void> => {
      const headers = tellsTypes ? { accept: `${accept}, */*` } : {};
      if ((await ask("HEAD", `blobs/${it.digest}`, { headers })).status === 200) return;
      const { location = "" } = (await ask("POST", "blobs/uploads/")).headers;
      await ask("PUT", `${location}?digest=${it.digest}`, { body: it.bytes });
    };
    for (const { layers, config, manifest, descriptor } of images) {
      await Promise.all([
        ...layers.map((layer) => send(layer, MEDIA_TYPE.ociLayerGzip)),
        send(config, MEDIA_TYPE.ociConfig),
      ]);
      await ask("PUT", `manifests/${index ? descriptor.digest : tag}`, {
        headers: { "content-type": MEDIA_TYPE.ociManifest },
        body: manifest,
      });
    }
    if (index) await ask("PUT", `manifests/${tag}`, { body: indexOf(images) });
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
 * A graph driver: asks for the digests that it knows for a layer, compresses and sends the layer when all are missing, and makes
 * its manifest of the sizes that it was told.
 */
export function graphdriver(layers: (TestLayer & { known: string[]; total?: number })[], packed = layers): Connect {
  return async (ask, { tag, onProgress, signal }) => {
    const upload = async ({ bytes, digest }: TestBlob, begun = (): void => {}): Promise<void> => {
      const { location = "" } = (await ask("POST", "blobs/uploads/")).headers;
      begun();
      signal?.throwIfAborted();
      const answer = await ask("PATCH", location, { body: bytes });
      await ask("PUT", `${answer.headers.location}?digest=${digest}`, { headers: { "content-length": 0 } });
    };
    const sizes = new Map<string, number>();
    const asked = async (digest: string): Promise<boolean> => {
      const { status, headers } = await ask("HEAD", `blobs/${digest}`);
      if (status === 200) sizes.set(digest, Number(headers["content-length"]));
      return status === 200;
    };
    const final = await Promise.all(
      layers.map(async (layer, at): Promise<TestLayer> => {
        const id = hexOf(layer.diffId).slice(0, 12);
        onProgress?.({ id, status: "Preparing" });
        for (const digest of layer.known) {
          if (!(await asked(digest))) continue;
          onProgress?.({ id, status: "Layer already exists" });
          return { ...layer, digest };
        }
        const own = packed[at] ?? layer;
        const total = layer.total ?? own.bytes.length;
        await upload(own, () => onProgress?.({ id, status: "Pushing", current: 512, total }));
        sizes.set(own.digest, own.bytes.length);
        onProgress?.({ id, status: "Pushed" });
        return own;
      }),
    );
    const { config } = image(layers);
    if (!(await asked(config.digest))) await upload(config);
    const { bytes } = encodeManifest({
      mediaType: MEDIA_TYPE.dockerManifest,
      config: { mediaType: MEDIA_TYPE.dockerConfig, digest: config.digest, size: config.bytes.length },
      layers: final.map(({ digest }) => ({
        mediaType: MEDIA_TYPE.dockerLayerGzip,
        digest,
        size: sizes.get(digest) ?? 0,
      })),
    });
    await ask("PUT", `manifests/${tag}`, { headers: { "content-type": MEDIA_TYPE.dockerManifest }, body: bytes });
  };
}
