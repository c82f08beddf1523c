import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createHttp2Server, type Http2Server } from "node:http2";
import { createServer as createSocketServer, type Socket } from "node:net";
import { join } from "node:path";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { isAtLeast } from "../../../src/engine/compare-versions.ts";
import { parseHost, type EngineEndpoint } from "../../../src/engine/connect/endpoint.ts";
import { Content } from "../../../src/engine/buildkit/gen/content_pb.ts";
import { digestOf, type Digest } from "../../../src/image/digest.ts";
import { temporaryFolder } from "./fake-engine.ts";

export const UNCOMPRESSED = "containerd.io/uncompressed";
export const NAMED = "containerd.io/gc.ref.content";

/** A blob in a list. */
export interface FakeBlob {
  bytes: Uint8Array;
  /** Default: the digest of its bytes. */
  digest?: Digest;
  /** Default: the number of its bytes. */
  size?: bigint;
  labels?: Record<string, string>;
}

export interface ContentEngineOptions {
  /** The newest API version that it supports. Default: 1.51, that of Docker 28.5. */
  apiVersion?: string;
  blobs?: readonly FakeBlob[];
  /** The answer to `POST /grpc` if it does not switch the connection: a status, or none. */
  grpc?: number | "hang";
  /** Whether it speaks HTTP/2 from the first byte. Default: from API 1.53 on. If not, it answers with 400 or not at all. */
  http2?: boolean | "hang" | "hang up";
  /** Other answers, by method and path without the version. */
  routes?: Record<string, (request: IncomingMessage, response: ServerResponse) => void>;
  /** Replaces its own handlers. */
  list?: ServiceImpl<typeof Content>["list"];
  read?: ServiceImpl<typeof Content>["read"];
}

/** An engine with a content store: real gRPC, containerd's filters and ranges, no images. */
export interface ContentEngine extends AsyncDisposable {
  endpoint: EngineEndpoint;
  socketPath: string;
  /** Its blobs by digest. A removed blob can still be listed. */
  blobs: Map<Digest, Uint8Array>;
  /** The requests so far, e.g. `1.1 GET /_ping` or `2.0 List`. */
  requests: string[];
  /** The filters of each `List` request. */
  lists: string[][];
  reads: { digest: Digest; offset: number; size: number }[];
  /** The number of connections so far. */
  readonly connections: number;
  /** Breaks all connections. */
  drop(): void;
}

/** The bytes in a message of `Read`: the size of containerd's buffer. */
const CHUNK = 64 * 1024;

export async function contentEngine(options: ContentEngineOptions = {}): Promise<ContentEngine> {
  const { apiVersion = "1.51", blobs = [], http2 = isAtLeast(apiVersion, "1.53") } = options;
  const folder = await temporaryFolder();
  const socketPath = join(folder.path, "engine.sock");
  const sockets = new Set<Socket>();
  let connections = 0;
  const fake: ContentEngine = {
    endpoint: parseHost(`unix://${socketPath}`, "test"),
    socketPath,
    blobs: new Map(blobs.map((blob) => [nameOf(blob), blob.bytes])),
    requests: [],
    lists: [],
    reads: [],
    get connections() {
      return connections;
    },
    drop() {
      for (const socket of sockets) socket.destroy();
    },
    async [Symbol.asyncDispose]() {
      fake.drop();
      await new Promise((resolve) => server.close(resolve));
      await folder[Symbol.asyncDispose]();
    },
  };

  const http1 = createServer((request, response) => answer(request, response));
  http1.on("upgrade", (request: IncomingMessage, socket: Socket, head: Buffer) => {
    fake.requests.push(`1.1 ${request.method} ${request.url}`);
    if (request.url !== "/grpc" || request.headers.upgrade !== "h2c") return void socket.destroy();
    if (options.grpc === "hang") return;
    if (options.grpc !== undefined) return void socket.end(`HTTP/1.1 ${options.grpc} Refused\r\n\r\n`);
    if (head.length > 0) socket.unshift(head);
    socket.write("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
    services(false).emit("connection", socket);
  });
  const server = createSocketServer((socket) => {
    connections += 1;
    sockets.add(socket.once("close", () => sockets.delete(socket)).on("error", () => {}));
    socket.once("readable", () => {
      const start = (socket.read() as Buffer | null) ?? Buffer.alloc(0);
      socket.unshift(start);
      const isHttp2 = start.toString("latin1").startsWith("PRI * HTTP/2.0");
      if (isHttp2) fake.requests.push("PRI *");
      if (isHttp2 && http2 === "hang") return;
      if (isHttp2 && http2 === "hang up") return void socket.end();
      (isHttp2 && http2 ? services(true) : http1).emit("connection", socket);
    });
  });
  await once(server.listen(socketPath), "listening");
  return fake;

  function services(takesRequests: boolean): Http2Server {
    const { list, read } = options;
    return createHttp2Server(
      connectNodeAdapter({
        routes: (router) =>
          router.service(Content, {
            list(request, context) {
              fake.requests.push("2.0 List");
              fake.lists.push(request.filters);
              return list === undefined ? listed(request.filters) : list(request, context);
            },
            read(request, context) {
              fake.requests.push("2.0 Read");
              const { digest, offset, size } = request;
              fake.reads.push({ digest, offset: Number(offset), size: Number(size) });
              return read === undefined ? bytesOf(request) : read(request, context);
            },
          }),
        fallback(request, response) {
          answer(request as IncomingMessage, response as ServerResponse, !takesRequests);
        },
      }),
    );
  }

  function answer(request: IncomingMessage, response: ServerResponse, isGrpcAlone = false): void {
    const path = request.url?.replace(/^\/v[\d.]+(?=\/)/, "");
    fake.requests.push(`${request.httpVersion} ${request.method} ${path}`);
    response.setHeader("Api-Version", apiVersion);
    if (isGrpcAlone) return void response.writeHead(404).end();
    if (path === "/_ping") return void response.end("OK");
    if (path?.startsWith("/images/json")) return void response.end("[]");
    const route = options.routes?.[`${request.method} ${path?.replace(/\?.*/, "")}`];
    if (route !== undefined) return route(request, response);
    response.writeHead(404).end(JSON.stringify({ message: "not here" }));
  }

  async function* listed(filters: readonly string[]) {
    const info = blobs
      .filter((blob) => filters.length === 0 || filters.some((filter) => fits(blob, filter)))
      .map((blob) => ({
        digest: nameOf(blob),
        size: blob.size ?? BigInt(blob.bytes.length),
        labels: blob.labels ?? {},
      }));
    yield { info };
  }

  async function* bytesOf({ digest, offset, size }: { digest: string; offset: bigint; size: bigint }) {
    const bytes = fake.blobs.get(digest);
    if (bytes === undefined) throw new ConnectError(`content ${digest}: not found`, Code.NotFound);
    const end = size === 0n ? bytes.length : Math.min(bytes.length, Number(offset + size));
    for (let at = Number(offset); at < end; at += CHUNK) {
      yield { offset: BigInt(at), data: bytes.subarray(at, Math.min(at + CHUNK, end)) };
    }
  }
}

function nameOf({ digest, bytes }: FakeBlob): Digest {
  return digest ?? digestOf(bytes);
}

/** Implements the part of containerd's filters that the client uses. */
function fits(blob: FakeBlob, filter: string): boolean {
  const [, label, wanted] = /^(?:digest|labels\."([^"]+)")=="([^"]*)"$/.exec(filter) ?? [];
  if (wanted === undefined) throw new ConnectError(`malformed filter ${filter}`, Code.InvalidArgument);
  return (label === undefined ? nameOf(blob) : blob.labels?.[label]) === wanted;
}
