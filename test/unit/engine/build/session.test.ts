import { once } from "node:events";
import { connect, type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";
import { duplexPair, PassThrough } from "node:stream";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Auth } from "../../../../src/engine/buildkit/gen/auth_pb.ts";
import { Health } from "../../../../src/engine/buildkit/gen/health_pb.ts";
import { Secrets } from "../../../../src/engine/buildkit/gen/secrets_pb.ts";
import { SSH } from "../../../../src/engine/buildkit/gen/ssh_pb.ts";
import { userServices } from "../../../../src/engine/build/session/user-services.ts";
import { fileSync } from "../../../../src/engine/build/session/file-sync.ts";
import { serveGrpc } from "../../../../src/engine/grpc/grpc-server.ts";
import { readFrames, writeFrameHeader } from "../../../../src/engine/grpc/grpc-frames.ts";
import { Failure } from "../../../../src/output/errors.ts";
import { memoryContext } from "./memory-context.ts";

const DIFF_COPY = "/moby.filesync.v1.FileSync/DiffCopy";

/** BuildKit's side of a session */
let buildKit: ClientHttp2Session;
let server: Disposable;
let served = 0;
let errors: unknown[] = [];
let context = memoryContext({
  Dockerfile: "FROM scratch\n",
  "a/one": "content of one",
  "a/two": "2",
  link: { linkTo: "a" },
});
const whole = context;

beforeEach(() => {
  const ownErrors: unknown[] = []; // a call that a test leaves open fails when the test is over
  [served, errors, context] = [0, ownErrors, whole];
  const [here, there] = duplexPair();
  const onServed = (bytes: number): void => void (served += bytes);
  const answers = {
    credentials: async (host: string) =>
      host === "registry.example.com" ? { username: "me", password: "pw" } : undefined,
    secret: async (id: string) => Buffer.from(`the ${id}`),
    agent: async () => new PassThrough(), // echoes its input
  };
  server = serveGrpc(here, {
    routes: userServices({ secrets: ["token"], agents: ["default"] }, answers),
    raw: {
      [DIFF_COPY]: async (call) =>
        await fileSync(context, { onServed, onFailed: (error) => ownErrors.push(error) })(call),
    },
  });
  buildKit = connect("http://session", { createConnection: () => there });
});

afterEach(() => {
  buildKit.destroy();
  server[Symbol.dispose]();
});

interface Packet {
  type: number;
  path?: string;
  id: number;
  data: string;
}

/** A call of `DiffCopy`. */
class Copy {
  readonly stream: ClientHttp2Stream;
  readonly #packets: AsyncIterator<Buffer>;

  constructor(headers: Record<string, string | string[]> = {}) {
    this.stream = buildKit.request({
      ":method": "POST",
      ":path": DIFF_COPY,
      "content-type": "application/grpc",
      te: "trailers",
      "dir-name": "context",
      ...headers,
    });
    this.#packets = readFrames(this.stream as AsyncIterable<Buffer>, 1e6)[Symbol.asyncIterator]();
  }

  /** Undefined: the call has ended. */
  async next(): Promise<Packet | undefined> {
    const { value, done } = await this.#packets.next();
    if (done === true) return undefined;
    const packet: Packet = { type: 0, id: 0, data: "" };
    const reader = new BinaryReader(value);
    while (reader.pos < reader.len) {
      const [field] = reader.tag();
      if (field === 1) packet.type = reader.int32();
      else if (field === 3) packet.id = reader.uint32();
      else if (field === 4) packet.data = Buffer.from(reader.bytes()).toString();
      else {
        const stat = new BinaryReader(reader.bytes());
        stat.tag();
        packet.path = stat.string();
      }
    }
    return packet;
  }

  async stats(): Promise<string[]> {
    const paths: string[] = [];
    for (let packet = await this.next(); packet?.path !== undefined; packet = await this.next())
      paths.push(packet.path);
    return paths;
  }

  send(type: number, id = 0): void {
    const message = new BinaryWriter().tag(1, WireType.Varint).int32(type).tag(3, WireType.Varint).uint32(id).finish();
    const header = Buffer.alloc(5);
    writeFrameHeader(header, 0, message.length);
    this.stream.write(Buffer.concat([header, message]));
  }

  /** Reads to the end of the call. */
  async status(): Promise<{ status: string; errors: string[] }> {
    const trailers = once(this.stream, "trailers") as Promise<[Record<string, string>]>;
    const errors: string[] = [];
    for (let packet = await this.next(); packet !== undefined; packet = await this.next())
      if (packet.type === 4) errors.push(packet.data);
    return { status: (await trailers)[0]["grpc-status"] ?? "", errors };
  }
}

test("sends BuildKit all entries, and the files that it requests", async () => {
  const copy = new Copy();
  expect(await copy.stats()).toEqual(["Dockerfile", "a", "a/one", "a/two", "link"]);
  copy.send(1, 2);
  expect(await copy.next()).toEqual({ type: 2, id: 2, data: "content of one" });
  expect(await copy.next()).toEqual({ type: 2, id: 2, data: "" });
  copy.send(3);
  expect(await copy.next()).toEqual({ type: 3, id: 0, data: "" });
  expect(await copy.status()).toEqual({ status: "0", errors: [] });
  expect([served, errors]).toEqual(["content of one".length, []]);
});

test("sends only the entries that match BuildKit's patterns, which may be escaped", async () => {
  const copy = new Copy({ followpaths: ["link%2Ftwo", "Docker%2A"], "followpaths-encoded": "1" });
  expect(await copy.stats()).toEqual(["Dockerfile", "a", "a/two", "link"]);
});

test.each<[string, (copy: Copy) => void, RegExp]>([
  ["asks for a folder", (copy) => copy.send(1, 1), /requested file 1/],
  ["asks for a file that is not listed", (copy) => copy.send(1, 4_000_000_000), /requested file 4000000000/],
  ["asks twice for a file", (copy) => (copy.send(1, 0), copy.send(1, 0)), /requested file 0/],
  ["sends a packet of another type", (copy) => copy.send(9), /unknown type, 9/],
  ["reports an error", (copy) => copy.send(4), /cannot receive the context/],
  ["sends an invalid packet", (copy) => copy.stream.write(Buffer.from([0, 0, 0, 0, 2, 0xff, 0xff])), /./],
  ["sends a compressed message", (copy) => copy.stream.write(Buffer.from([1, 0, 0, 0, 0])), /compressed/],
  ["sends an endless message", (copy) => copy.stream.write(Buffer.from([0, 0xff, 0xff, 0xff, 0xff])), /longer than/],
  ["ends the call too early", (copy) => copy.stream.end(), /before it had the context/],
])("sends an error to a peer that %s, and ends the call", async (_, misbehave, message) => {
  const copy = new Copy();
  await copy.stats();
  misbehave(copy);
  const { status, errors: told } = await copy.status();
  expect(status).toBe("13");
  expect(told.at(-1)).toMatch(message);
  expect(errors).toHaveLength(1);
});

test("a file that cannot be read ends the call, and its failure is recorded", async () => {
  const failure = new Failure("context-invalid", "a/one has changed");
  context = { ...whole, read: () => failing(failure) };
  const copy = new Copy();
  await copy.stats();
  copy.send(1, 2);
  expect(await copy.status()).toEqual({ status: "13", errors: ["a/one has changed"] });
  expect(errors).toEqual([failure]);
});

test.each([
  ["a folder of another name", { "dir-name": "/etc" }, "5"],
  ["an invalid pattern", { "include-patterns": "a[b" }, "13"],
])("rejects %s", async (_, headers, status) => {
  const copy = new Copy(headers);
  const ended = once(copy.stream, "trailers") as Promise<[Record<string, string>]>;
  copy.stream.resume();
  expect((await ended)[0]["grpc-status"]).toBe(status);
});

test("stops reading files when BuildKit disconnects", async () => {
  let isRead = (): void => {};
  const reading = new Promise<void>((resolve) => (isRead = resolve));
  let stopped: AbortSignal | undefined;
  context = { ...whole, read: (_, signal) => ((stopped = signal), isRead(), endless(signal as AbortSignal)) };
  const copy = new Copy();
  await copy.stats();
  copy.send(1, 2);
  await reading;
  copy.stream.destroy();
  await expect.poll(() => stopped?.aborted).toBe(true);
  await expect.poll(() => errors.length).toBe(1);
});

test("answers BuildKit's requests for health, credentials, secrets and agents with those of the order only", async () => {
  const transport = createGrpcTransport({
    baseUrl: "http://session",
    sessionManager: {
      authority: "http://session",
      request: async (method, path, headers, options) =>
        buildKit.request({ ...headers, ":method": method, ":path": path }, options),
      notifyResponseByteRead() {},
    },
  });
  expect((await createClient(Health, transport).check({})).status).toBe(1);
  const auth = createClient(Auth, transport);
  expect(await auth.credentials({ host: "registry.example.com" })).toMatchObject({ username: "me", secret: "pw" });
  expect(await auth.credentials({ host: "registry-1.docker.io" })).toMatchObject({ username: "", secret: "" });
  const secrets = createClient(Secrets, transport);
  expect(Buffer.from((await secrets.getSecret({ ID: "token" })).data).toString()).toBe("the token");
  await expect(secrets.getSecret({ ID: "other" })).rejects.toThrow("not_found");
  const ssh = createClient(SSH, transport);
  await ssh.checkAgent({ ID: "default" });
  await expect(ssh.checkAgent({ ID: "other" })).rejects.toThrow("not_found");
  const said: string[] = [];
  for await (const { data } of ssh.forwardAgent(hello(), { headers: { "buildkit.ssh.id": "default" } }))
    said.push(Buffer.from(data).toString());
  expect(said.join("")).toBe("hello, agent");
});

async function* hello(): AsyncGenerator<{ data: Uint8Array<ArrayBuffer> }> {
  yield { data: new TextEncoder().encode("hello, ") };
  yield { data: new TextEncoder().encode("agent") };
}

async function* failing(error: Error): AsyncGenerator<Uint8Array> {
  yield* [];
  throw error;
}

async function* endless(signal: AbortSignal): AsyncGenerator<Uint8Array> {
  for (;;) {
    signal.throwIfAborted();
    yield Buffer.alloc(1000);
  }
}
