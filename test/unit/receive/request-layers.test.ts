import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { duplexPair } from "node:stream";
import { expect, test } from "vitest";
import type { ReceiveOptions } from "../../../src/receive/receive-options.ts";
import type { DeltaBases } from "../../../src/rebuild/delta-bases.ts";
import { requestLayers } from "../../../src/receive/request-layers.ts";
import { digestOf } from "../../../src/image/digest.ts";
import { MEDIA_TYPE, encodeManifest } from "../../../src/image/manifest.ts";
import { queue } from "../../../src/streams/queue.ts";
import { InvalidImage } from "../../../src/image/invalid-image.ts";
import type { Detail } from "../../../src/output/details.ts";
import { AMD64 } from "../image/platforms.ts";

const diffId = digestOf("layer");
const config = Buffer.from(JSON.stringify({ os: "linux", architecture: "amd64", rootfs: { diff_ids: [diffId] } }));
const written = encodeManifest({
  mediaType: MEDIA_TYPE.ociManifest,
  config: { mediaType: MEDIA_TYPE.ociConfig, digest: digestOf(config), size: config.length },
  layers: [{ mediaType: MEDIA_TYPE.ociLayer, digest: diffId, size: 5 }],
});
const details: Detail[] = [];
const MANIFEST = "/v2/app/manifests/v1";
const CONFIG = `/v2/app/blobs/${digestOf(config)}`;

/** Requests a layer from a sender whose registry answers with `answer`. */
async function requestFrom(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
  {
    configDigest,
    layers = "announced",
    deltaBases,
  }: { configDigest?: string; layers?: "announced" | "available"; deltaBases?: DeltaBases } = {},
) {
  details.length = 0;
  const server = createServer(answer);
  const connect = () => {
    const [client, peer] = duplexPair();
    server.emit("connection", peer);
    return client;
  };
  const options = {
    tunnel: { connect },
    about: { diffIds: [diffId], platform: AMD64, ...(configDigest !== undefined && { configDigest }) },
    obtain: async () => ({
      offer: { repository: "app", tag: "v1", credentials: { username: "u", password: "p" }, layers },
      layers: queue(),
      cuttable: queue(),
    }),
    output: { detail: (detail: Detail) => details.push(detail) },
    signal: new AbortController().signal,
    onProgress: () => {},
  } as unknown as ReceiveOptions;
  return await requestLayers(options, [diffId], deltaBases);
}

test("requests manifest and config early, and concurrently", async () => {
  const open = new Map<string, ServerResponse>();
  let onBoth!: () => void;
  const both = new Promise<void>((resolve) => (onBoth = resolve));
  using requested = await requestFrom(
    (request, response) => {
      open.set(request.url ?? "", response);
      if (open.size === 2) onBoth();
    },
    { configDigest: digestOf(config) },
  );
  await both; // before `metadata` is called
  expect([...open.keys()].toSorted()).toEqual([CONFIG, MANIFEST].toSorted());
  open.get(MANIFEST)?.end(written.bytes);
  open.get(CONFIG)?.end(config);
  expect(await requested.metadata()).toMatchObject({ config });
});

test.each([
  ["that is not yet available", (response: ServerResponse) => response.writeHead(404).end()],
  ["that differs", (response: ServerResponse) => response.end("{}")],
])("requests a config %s again after the manifest", async (_, first) => {
  const urls: (string | undefined)[] = [];
  using requested = await requestFrom(
    ({ url }, response) => {
      urls.push(url);
      if (url === MANIFEST) return void response.end(written.bytes);
      if (urls.filter((one) => one === CONFIG).length === 1) first(response);
      else response.end(config);
    },
    { configDigest: digestOf(config) },
  );
  expect(await requested.metadata()).toMatchObject({ config });
  expect(urls.filter((one) => one === CONFIG)).toHaveLength(2);
});

test("ignores an announced config that the manifest does not name", async () => {
  using requested = await requestFrom(
    ({ url }, response) => {
      if (url === MANIFEST) return void response.end(written.bytes);
      response.end(url === CONFIG ? config : "other");
    },
    { configDigest: digestOf("other") },
  );
  expect(await requested.metadata()).toMatchObject({ config });
});

test("throws an error only in `metadata`", async () => {
  using requested = await requestFrom(
    ({ url }, response) => void response.end(url === MANIFEST ? written.bytes : "{}"),
  );
  await new Promise((resolve) => setImmediate(resolve));
  await expect(requested.metadata()).rejects.toThrow(`the blob ${digestOf(config)}`);
  await expect(requested.metadata()).rejects.not.toBeInstanceOf(InvalidImage);
});

test("fetches layers in a registry whole, and reports the reason", async () => {
  const answer = ({ url }: IncomingMessage, response: ServerResponse): void =>
    void response.end(url === MANIFEST ? written.bytes : config);
  using requested = await requestFrom(answer, { layers: "available", deltaBases: {} as DeltaBases });
  expect(details).toEqual([{ code: "all-whole", reason: "served-from-registry" }]);
  expect(await requested.metadata()).toMatchObject({ config });
});
