import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { Readable, type Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { digestOf } from "../../../src/image/digest.ts";
import { MEDIA_TYPE, type Descriptor } from "../../../src/image/manifest.ts";
import type { Tunnel } from "../../../src/stdio-tunnel/session.ts";
import { asSocket } from "../../../src/streams/bridge.ts";
import { gzipped, type Pack, type TestImage } from "../image/make-image.ts";
import { playRemoteSide } from "./remote-side.ts";
import { makeWorkspace, type ProgramRun } from "./run-program.ts";

/** Returns the kind of content that a request asks for. */
type Kind = "manifest" | "config" | "layer";
type Answer = (response: ServerResponse, honest: Buffer, request: IncomingMessage) => void;
interface Layer extends Descriptor {
  diffId: string;
}

/** How a sender deviates from an honest one. */
export interface Attack {
  /** The stored form of layers, and their media type. */
  pack?: Pack;
  /** Fields of its messages. */
  about?: object;
  offer?: object;
  /** Returns the layers to announce instead of the honest ones. */
  announce?: (layers: Layer[]) => object[];
  config?: Buffer;
  /** Fields of the config's descriptor in the manifest. */
  configDescriptor?: object;
  /** Returns the manifest to send instead of the honest one. */
  manifest?: (manifest: { layers: Descriptor[] }) => unknown;
  /** The responses of its registry. */
  answer?: Partial<Record<Kind, Answer>>;
  /** Answers a connection instead of HTTP. */
  connection?: (stream: Duplex) => void;
  /** Options of the receiver's command line. */
  options?: string[];
}

/** `announcing`: announces layers like this program, with the manifest last. `registry`: the receiver requests the manifest first. */
export type Manner = "announcing" | "registry";

/** Pulls from a hostile sender, with the real program. */
export async function pullFrom(
  image: TestImage,
  attack: Attack,
  { manner = "announcing", to = "oci:target" }: { manner?: Manner; to?: string } = {},
): Promise<ProgramRun> {
  const { run, socket } = await makeWorkspace();
  await using remote = await playRemoteSide(
    socket,
    "sender",
    async (tunnel) => await send(tunnel, image, attack, manner),
  );
  return await run("pull", ...(attack.options ?? []), "--to", to, "app:v1", ...remote.command);
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

/** Sends an endless body. */
export const endless: Answer = (response) => {
  const chunk = Buffer.alloc(65_536, " ");
  function* flood(): Generator<Buffer> {
    for (;;) yield chunk;
  }
  pipeline(Readable.from(flood(), { objectMode: false }), response).catch(() => {}); // until the client closes
};

export const status =
  (code: number, headers: Record<string, string> = {}): Answer =>
  (response) =>
    void response.writeHead(code, headers).end("a page of text");

/** Sends the same response to all requests. */
export const always = (answer: Answer): Partial<Record<Kind, Answer>> => ({
  manifest: answer,
  config: answer,
  layer: answer,
});

export const bytes =
  (content: Buffer | string): Answer =>
  (response) =>
    void response.end(content);

/** Sends half of the announced body. */
export const cutOff: Answer = (response, honest) => {
  response.writeHead(200, { "content-length": honest.length });
  // This ends the connection without destroying it, so that even a slow receiver gets the beginning.
  response.write(honest.subarray(0, honest.length / 2), () => response.socket?.end());
};

/** Returns a packed body in the format of this program. */
export const inBlocks =
  (...parts: Buffer[]): Answer =>
  (response) =>
    void response.writeHead(200, { "content-encoding": "docker-over-ssh-blocks" }).end(Buffer.concat(parts));
