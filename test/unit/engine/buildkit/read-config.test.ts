import { once } from "node:events";
import { createServer as createHttp2Server, type ServerHttp2Stream } from "node:http2";
import { createServer, type ServerResponse } from "node:http";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openEngine } from "../../../../src/engine/open/open-engine.ts";
import { parseHost, type EngineEndpoint } from "../../../../src/engine/connect/endpoint.ts";
import type { Engine } from "../../../../src/engine/engine.ts";
import { digestOf } from "../../../../src/image/digest.ts";
import { fakeEngine, temporaryFolder } from "../fake-engine.ts";

const config = Buffer.from(JSON.stringify({ os: "linux", padding: "x".repeat(5000) }));
const RESOLVE = "/moby.buildkit.v1.frontend.LLBBridge/ResolveImageConfig";
const signal = new AbortController().signal;

interface Call {
  path: string;
  build: unknown;
  message: Buffer;
}

interface FakeBuilder extends AsyncDisposable {
  endpoint: EngineEndpoint;
  calls: Call[];
}

/** The engine's version and images. */
const VERSION = "28.5.2+dfsg4";
const IMAGES = [{ Id: "sha256:1", Size: 1 }];

/** An engine with a fake BuildKit behind real gRPC. A build runs until it is cancelled. */
async function fakeBuilder(answer: (stream: ServerHttp2Stream) => void, images: object = IMAGES): Promise<FakeBuilder> {
  const folder = await temporaryFolder();
  const path = join(folder.path, "engine.sock");
  const calls: Call[] = [];
  const sockets = new Set<Socket>();
  const grpc = createHttp2Server().on("stream", (stream, headers) => {
    const chunks: Buffer[] = [];
    stream.on("error", () => {}); // the client has cancelled the stream
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("end", () => {
      const framed = Buffer.concat(chunks);
      expect(framed.readUIntBE(0, 5)).toBe(framed.length - 5);
      const build = headers["buildkit-controlapi-buildid"];
      calls.push({ path: headers[":path"] ?? "", build, message: framed.subarray(5) });
      if (headers[":path"] === RESOLVE) answer(stream);
    });
  });
  const engine = createServer(({ url = "" }, response) => {
    const { pathname } = new URL(url, "http://engine");
    const says = pathname.endsWith("/images/json") ? images : "OK";
    response.setHeader("Api-Version", "1.51").end(JSON.stringify(says));
  });
  engine.on("connection", (socket: Socket) => sockets.add(socket));
  engine.on("upgrade", (request, socket: Socket, head: Buffer) => {
    expect([request.method, request.url, request.headers.upgrade]).toEqual(["POST", "/grpc", "h2c"]);
    if (head.length > 0) socket.unshift(head);
    socket.write("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
    grpc.emit("connection", socket);
  });
  await once(engine.listen(path), "listening");
  return {
    endpoint: parseHost(`unix://${path}`, "test"),
    calls,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => engine.close(resolve));
      await folder[Symbol.asyncDispose]();
    },
  };
}

/** Encodes a bytes field in protobuf. */
function field(number: number, value: Buffer): Buffer {
  const length: number[] = [];
  for (let left = value.length; left > 0 || length.length === 0; left = Math.floor(left / 128)) {
    if (length.length > 0) length[length.length - 1] = (length.at(-1) ?? 0) | 0x80;
    length.push(left % 128);
  }
  return Buffer.concat([Buffer.from([(number << 3) | 2, ...length]), value]);
}

function framed(message: Buffer, announced = message.length): Buffer {
  const header = Buffer.alloc(5);
  header.writeUInt32BE(announced, 1);
  return Buffer.concat([header, message]);
}

const HEADERS = { ":status": 200, "content-type": "application/grpc" };

function answering(body: Buffer): (stream: ServerHttp2Stream) => void {
  return (stream) => {
    stream.respond(HEADERS, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.end(body);
  };
}

async function ask(engine: Engine, version = VERSION): Promise<Buffer | undefined> {
  return await engine.readConfig({ name: "app:v1", id: digestOf(config) }, version, signal);
}

describe("the config of an image", () => {
  test("is read from the builder, in an internal build without Return", async () => {
    await using fake = await fakeBuilder(
      answering(framed(Buffer.concat([field(1, Buffer.from("x")), field(2, config)]))),
    );
    await using engine = await openEngine(fake.endpoint);
    expect(await ask(engine)).toEqual(config);
    const [solve, resolve] = fake.calls.toSorted((one, other) => one.path.localeCompare(other.path));
    expect(fake.calls).toHaveLength(2);
    expect(solve?.path).toBe("/moby.buildkit.v1.Control/Solve");
    const build = Buffer.from(String(resolve?.build));
    expect(build).toHaveLength(36);
    // Docker 27.4 to 28.1 would crash without a Cache (field 8).
    expect(solve?.message).toEqual(
      Buffer.concat([field(1, build), field(8, Buffer.alloc(0)), Buffer.from([11 << 3, 1])]),
    );
    expect(resolve?.path).toBe(RESOLVE);
    const name = Buffer.from("app:v1");
    expect(resolve?.message).toEqual(Buffer.concat([field(1, name), field(3, Buffer.from("local"))]));
  });

  test("works with a name of maximal length", async () => {
    await using fake = await fakeBuilder(answering(framed(field(2, config))));
    await using engine = await openEngine(fake.endpoint);
    const name = `${"n".repeat(250)}:${"t".repeat(128)}`;
    expect(await engine.readConfig({ name, id: digestOf(config) }, VERSION, signal)).toEqual(config);
    const asked = fake.calls.find(({ path }) => path === RESOLVE)?.message;
    expect(asked).toEqual(Buffer.concat([field(1, Buffer.from(name)), field(3, Buffer.from("local"))]));
  });

  test.each<[string, (stream: ServerHttp2Stream) => void]>([
    ["of another image", answering(framed(field(2, Buffer.from("{}"))))],
    ["that the answer lacks", answering(framed(field(1, config)))],
    ["in an empty answer", answering(framed(Buffer.alloc(0)))],
    ["in a truncated answer", answering(framed(field(2, config).subarray(0, 100)))],
    ["in an answer with a wrong length", answering(framed(field(2, config), 7))],
    ["in an answer that ends in the middle of a length", answering(framed(Buffer.from([0x12, 0xff, 0xff])))],
    ["in an answer with an endless length", answering(framed(Buffer.from([0x12, ...Array<number>(40).fill(0xff)])))],
    ["that is too large", answering(framed(field(2, Buffer.alloc(9 * 1024 * 1024))))],
    [
      "in an answer of trailers only",
      (stream) => stream.respond({ ...HEADERS, "grpc-status": "5" }, { endStream: true }),
    ],
    ["for which the stream is reset", (stream) => stream.close(8)],
    ["for which the connection breaks", (stream) => stream.session?.destroy()],
  ])("ignores an answer %s", async (_, answer) => {
    await using fake = await fakeBuilder(answer);
    await using engine = await openEngine(fake.endpoint);
    expect(await ask(engine)).toBeUndefined();
  });

  test("works with an unknown field in the answer", async () => {
    await using fake = await fakeBuilder(answering(framed(Buffer.concat([Buffer.from([0x78, 1]), field(2, config)]))));
    await using engine = await openEngine(fake.endpoint);
    expect(await ask(engine)).toEqual(config);
  });

  test("is undefined without a builder, and after a broken connection", async () => {
    const says = (body: object) => (_: unknown, response: ServerResponse) => void response.end(JSON.stringify(body));
    const routes = { "GET /images/json": says(IMAGES) };
    await using fake = await fakeEngine({
      ...routes,
      "POST /grpc": (_, response) => void response.writeHead(404).end(),
    });
    await using engine = await openEngine(fake.endpoint);
    expect(await ask(engine)).toBeUndefined();
    expect(fake.calls().at(-1)).toBe("POST /grpc");
    await using breaking = await fakeEngine({ ...routes, "POST /grpc": (_, response) => void response.destroy() });
    await using other = await openEngine(breaking.endpoint);
    expect(await ask(other)).toBeUndefined();
  });

  test.each([
    ["a Docker of an unknown version", "29.8.0"],
    ["a Docker that is too old", "19.03.15"],
    ["an engine without a version number", "dev"],
    ["an engine that does not list the name", VERSION, []],
  ])("is not requested from %s", async (_, version, images: object = IMAGES) => {
    await using fake = await fakeBuilder(answering(framed(field(2, config))), images);
    await using engine = await openEngine(fake.endpoint);
    expect(await ask(engine, version)).toBeUndefined();
    expect(fake.calls).toEqual([]);
  });

  test("is not requested over a single connection", async () => {
    await using fake = await fakeEngine();
    const open = () => connect(fake.socketPath);
    await using engine = await openEngine({
      ...fake.endpoint,
      address: { protocol: "stream", open, label: "test" } as never,
    });
    expect(await ask(engine)).toBeUndefined();
    expect(fake.calls()).toEqual([]);
  });

  test("an abort ends the wait", async () => {
    const stop = new AbortController();
    await using fake = await fakeBuilder(() => stop.abort(new Error("enough")));
    await using engine = await openEngine(fake.endpoint);
    await expect(engine.readConfig({ name: "app:v1", id: digestOf(config) }, VERSION, stop.signal)).rejects.toThrow(
      "enough",
    );
  });
});
