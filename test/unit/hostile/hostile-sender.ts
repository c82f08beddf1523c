import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { Readable, type Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { digestOf } from "../../../src/image/digest.ts";
import { MEDIA_TYPE, type Descriptor } from "../../../src/image/manifest.ts";
import type { Tunnel } from "../../../src/stdio-tunnel/session.ts";
import { asSocket } from "../../../src/streams/bridge.ts";
import { gzipped, type Pack, type TestImage } from "../image/make-image.ts";
import { playRemoteSide } from "./remote-side.ts";
import { workplace, type Ended } from "./run-program.ts";

/** What a registry is asked for. */
type Kind = "manifest" | "config" | "layer";
type Answer = (response: ServerResponse, honest: Buffer, request: IncomingMessage) => void;
interface Layer extends Descriptor {
  diffId: string;
}

/** Where a sender of an image departs from the truth. What is left out is as an honest one has it. */
export interface Attack {
  /** How layers are packed, and what is said of that. */
  pack?: Pack;
  /** Fields of the messages. */
  about?: object;
  offer?: object;
  /** The layers that are announced, instead of these. */
  announce?: (layers: Layer[]) => object[];
  config?: Buffer;
  /** The manifest's descriptor of the config. */
  configDescriptor?: object;
  /** The manifest, instead of this one. */
  manifest?: (manifest: { layers: Descriptor[] }) => unknown;
  /** What the registry answers. */
  answer?: Partial<Record<Kind, Answer>>;
  /** Instead of HTTP. */
  connection?: (stream: Duplex) => void;
  /** Of the command line of the receiver. */
  options?: string[];
}

/** As this program sends: layers are announced, the manifest comes last. As a registry: the manifest is asked for first. */
export type Manner = "announcing" | "registry";

/** The real program pulls from an attacker. */
export async function pullFrom(
  image: TestImage,
  attack: Attack,
  { manner = "announcing", to = "oci:target" }: { manner?: Manner; to?: string } = {},
): Promise<Ended> {
  const { run, socket } = await workplace();
  await using far = await playRemoteSide(socket, "sender", async (tunnel) => await send(tunnel, image, attack, manner));
  return await run("pull", ...(attack.options ?? []), "--to", to, "app:v1", ...far.command);
}

async function send(tunnel: Tunnel, image: TestImage, attack: Attack, manner: Manner): Promise<void> {
  const { pack = gzipped, about, offer, announce = (honest: Layer[]) => honest, config = image.config } = attack;
  const packed = image.layers.map((layer, index) => {
    const { blob, mediaType } = pack(layer);
    return { blob, diffId: image.diffIds[index] ?? "", mediaType, digest: digestOf(blob), size: blob.length };
  });
  const manifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociManifest,
    config: {
      mediaType: MEDIA_TYPE.ociConfig,
      digest: digestOf(config),
      size: config.length,
      ...attack.configDescriptor,
    },
    layers: packed.map(({ mediaType, digest, size }) => ({ mediaType, digest, size })),
  };
  const sent = attack.manifest?.(manifest) ?? manifest;
  const honest: Record<Kind, (path: string) => Buffer> = {
    manifest: () => (Buffer.isBuffer(sent) ? sent : Buffer.from(JSON.stringify(sent))),
    config: () => config,
    layer: (path) => packed.find(({ digest }) => path.endsWith(digest))?.blob ?? Buffer.alloc(0),
  };
  const server = createServer((request, response) => {
    const path = request.url ?? "";
    response.on("error", () => {});
    const isConfig = path.endsWith(manifest.config.digest);
    const kind = path.includes("/manifests/") ? "manifest" : isConfig ? "config" : "layer";
    const { [kind]: answer = (to: ServerResponse, bytes: Buffer) => void to.end(bytes) } = attack.answer ?? {};
    answer(response, honest[kind](path), request);
  });
  const serve = (stream: Duplex): void => void server.emit("connection", asSocket(stream));

  await tunnel.next("ask");
  await tunnel.send({ type: "about", diffIds: image.diffIds, platform: "linux/amd64", ...about });
  const want = (await tunnel.next("want")) as unknown as { diffIds: string[] };
  tunnel.listen("registry", attack.connection ?? serve);
  const credentials = { username: "u", password: "p" };
  const announced = manner === "announcing";
  await tunnel.send({ type: "offer", repository: "app", tag: "v1", announced, credentials, ...offer });
  const wanted = packed.filter(({ diffId }) => want.diffIds.includes(diffId));
  const described = wanted.map(({ diffId, mediaType, digest, size }) => ({ diffId, mediaType, digest, size }));
  const layers = announced ? announce(described) : [];
  for (const layer of layers) await tunnel.send({ type: "layer", ...layer });
  await tunnel.result();
}

/** Bytes without end. */
export const endless: Answer = (response) => {
  const chunk = Buffer.alloc(65_536, " ");
  function* flood(): Generator<Buffer> {
    for (;;) yield chunk;
  }
  pipeline(Readable.from(flood(), { objectMode: false }), response).catch(() => {}); // until nobody listens
};

export const status =
  (code: number, headers: Record<string, string> = {}): Answer =>
  (response) =>
    void response.writeHead(code, headers).end("a page of words");

/** The same whatever is asked for. */
export const always = (answer: Answer): Partial<Record<Kind, Answer>> => ({
  manifest: answer,
  config: answer,
  layer: answer,
});

export const bytes =
  (content: Buffer | string): Answer =>
  (response) =>
    void response.end(content);

/** Less than was announced. */
export const cutOff: Answer = (response, honest) => {
  response.writeHead(200, { "content-length": honest.length });
  // Ended, not destroyed: a receiver that is slow has the beginning first, always.
  response.write(honest.subarray(0, honest.length / 2), () => response.socket?.end());
};

/** Packed for the way between two of this program. */
export const inBlocks =
  (...parts: Buffer[]): Answer =>
  (response) =>
    void response.writeHead(200, { "content-encoding": "docker-over-ssh-blocks" }).end(Buffer.concat(parts));
