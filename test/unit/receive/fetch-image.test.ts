import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { duplexPair } from "node:stream";
import { expect, test } from "vitest";
import type { ReceiveOptions } from "../../../src/receive/received-image.ts";
import type { DeltaBases } from "../../../src/rebuild/delta-bases.ts";
import { ask } from "../../../src/receive/fetch-image.ts";
import { digestOf } from "../../../src/image/digest.ts";
import { MEDIA_TYPE, encodeManifest } from "../../../src/image/manifest.ts";
import { queue } from "../../../src/streams/queue.ts";
import { InvalidImage } from "../../../src/image/invalid-image.ts";

const diffId = digestOf("layer");
const config = Buffer.from(JSON.stringify({ os: "linux", architecture: "amd64", rootfs: { diff_ids: [diffId] } }));
const written = encodeManifest({
  mediaType: MEDIA_TYPE.ociManifest,
  config: { mediaType: MEDIA_TYPE.ociConfig, digest: digestOf(config), size: config.length },
  layers: [{ mediaType: MEDIA_TYPE.ociLayer, digest: diffId, size: 5 }],
});
const told: string[] = [];
const MANIFEST = "/v2/app/manifests/v1";
const CONFIG = `/v2/app/blobs/${digestOf(config)}`;

/** Asks a sender for an image whose registry answers so, and hands out what it can be asked for. */
async function askOf(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
  {
    configDigest,
    announced = true,
    deltaBases,
  }: { configDigest?: string; announced?: boolean; deltaBases?: DeltaBases } = {},
) {
  told.length = 0;
  const server = createServer(answer);
  const connect = () => {
    const [here, there] = duplexPair();
    server.emit("connection", there);
    return here;
  };
  const options = {
    tunnel: { connect },
    about: { diffIds: [diffId], platform: "linux/amd64", ...(configDigest !== undefined && { configDigest }) },
    obtain: async () => ({
      offer: { repository: "app", tag: "v1", credentials: { username: "u", password: "p" }, announced },
      layers: queue(),
      inPieces: queue(),
    }),
    output: { detail: (text: string) => told.push(text) },
    signal: new AbortController().signal,
    onProgress: () => {},
  } as unknown as ReceiveOptions;
  return await ask(options, [diffId], deltaBases);
}

test("manifest and config are asked for before any layer has been fetched, and before either is given", async () => {
  const open = new Map<string, ServerResponse>();
  let bothAsked!: () => void;
  const asked = new Promise<void>((resolve) => (bothAsked = resolve));
  using incoming = await askOf(
    (request, response) => {
      open.set(request.url ?? "", response);
      if (open.size === 2) bothAsked();
    },
    { configDigest: digestOf(config) },
  );
  await asked; // nobody has asked for what was opened yet
  expect([...open.keys()].toSorted()).toEqual([CONFIG, MANIFEST].toSorted());
  open.get(MANIFEST)?.end(written.bytes);
  open.get(CONFIG)?.end(config);
  expect(await incoming.opened()).toMatchObject({ config });
});

test.each([
  ["that is not there yet", (response: ServerResponse) => response.writeHead(404).end()],
  ["that is another", (response: ServerResponse) => response.end("{}")],
])("a config %s is asked for once more when the manifest has named it", async (_, first) => {
  const asked: (string | undefined)[] = [];
  using incoming = await askOf(
    ({ url }, response) => {
      asked.push(url);
      if (url === MANIFEST) return void response.end(written.bytes);
      if (asked.filter((one) => one === CONFIG).length === 1) first(response);
      else response.end(config);
    },
    { configDigest: digestOf(config) },
  );
  expect(await incoming.opened()).toMatchObject({ config });
  expect(asked.filter((one) => one === CONFIG)).toHaveLength(2);
});

test("a config that was announced, and is not the manifest's, is none", async () => {
  using incoming = await askOf(
    ({ url }, response) => {
      if (url === MANIFEST) return void response.end(written.bytes);
      response.end(url === CONFIG ? config : "other");
    },
    { configDigest: digestOf("other") },
  );
  expect(await incoming.opened()).toMatchObject({ config });
});

test("what cannot be opened is said to who asks, and to nobody before", async () => {
  using incoming = await askOf(({ url }, response) => void response.end(url === MANIFEST ? written.bytes : "{}"));
  await new Promise((resolve) => setImmediate(resolve));
  await expect(incoming.opened()).rejects.toThrow(`the blob ${digestOf(config)}`);
  await expect(incoming.opened()).rejects.not.toBeInstanceOf(InvalidImage);
});

test("of a sender that has the layers in a registry it is said that they come whole", async () => {
  const answer = ({ url }: IncomingMessage, response: ServerResponse): void =>
    void response.end(url === MANIFEST ? written.bytes : config);
  using incoming = await askOf(answer, { announced: false, deltaBases: {} as DeltaBases });
  expect(told).toEqual(["missing layers are sent whole: the sending side has them in a registry"]);
  expect(await incoming.opened()).toMatchObject({ config });
});
