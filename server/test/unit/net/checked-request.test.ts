import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterEach, describe, expect, test, vi } from "vitest";
import { closedPort, rejection, temporaryFolder } from "../../../../test/unit/engine/fake-engine.ts";
import { checkedRequest } from "../../../src/net/checked-request.ts";
import { networkOf, type Network } from "../../../src/net/network.ts";
import { answers, localServer, standInNetwork } from "./local-server.ts";

const never = new AbortController().signal;

async function get(address: string, network: Network, redirects = 5): Promise<{ status?: number; body: string }> {
  const { response } = await checkedRequest(address, { redirects }, network, never);
  return { ...(response.statusCode !== undefined && { status: response.statusCode }), body: await text(response) };
}

test("sends a request to a host with public addresses", async () => {
  await using server = await localServer((_request, response) => response.end("hello"), { host: "127.0.0.2" });
  expect(await get(`http://files.example.com:${server.port}/a?b=c`, standInNetwork())).toEqual({
    status: 200,
    body: "hello",
  });
  expect(server.requests).toEqual(["GET /a?b=c"]);
});

test("sends a request to an IP address if it is allowed", async () => {
  await using server = await localServer((_request, response) => response.end("hello"));
  expect((await get(`http://127.0.0.1:${server.port}/`, networkOf([`127.0.0.1:${server.port}`]))).body).toBe("hello");
  expect((await rejection(get(`http://127.0.0.1:${server.port}/`, networkOf(["127.0.0.1:1"])))).code).toBe("refused");
});

test("cannot be redirected by DNS that changes its answer after the check", async () => {
  await using outside = await localServer((_request, response) => response.end("outside"), { host: "127.0.0.2" });
  await using inside = await localServer((_request, response) => response.end("inside"), { port: outside.port });
  const given = [answers("127.0.0.2"), answers("127.0.0.1")];
  const resolve = vi.fn<Network["resolve"]>(async () => given.shift() ?? answers("127.0.0.1"));
  expect((await get(`http://changing.example.com:${outside.port}/`, standInNetwork({ resolve }))).body).toBe("outside");
  expect(inside.requests).toEqual([]);
  // The next request resolves again, and sees the other answer.
  expect((await rejection(get(`http://changing.example.com:${outside.port}/`, standInNetwork({ resolve })))).code).toBe(
    "refused",
  );
  expect(inside.requests).toEqual([]);
});

describe("a redirect", () => {
  test("is followed", async () => {
    await using server = await localServer(
      ({ url }, response) => (url === "/b" ? response.end("there") : response.writeHead(302, { location: "/b" }).end()),
      { host: "127.0.0.2" },
    );
    expect((await get(`http://files.example.com:${server.port}/a`, standInNetwork())).body).toBe("there");
    expect(server.requests).toEqual(["GET /a", "GET /b"]);
  });

  test.each([
    ["an IP address that is not public", (port: number) => `http://127.0.0.1:${port}/`],
    ["the same in decimal", (port: number) => `http://2130706433:${port}/`],
    ["the same, mapped into IPv6", (port: number) => `http://[::ffff:127.0.0.1]:${port}/`],
    ["the same without a scheme", (port: number) => `//127.1:${port}/`],
    ["a name whose address is not public", (port: number) => `http://inside.example.com:${port}/`],
    ["an address with a password", (port: number) => `http://me:word@files.example.com:${port}/inside`],
    ["a file", () => "file:///etc/passwd"],
    ["an invalid address", () => "http://[::1"],
  ])("to %s is not followed", async (_what, location) => {
    await using inside = await localServer((_request, response) => response.end("inside"));
    await using outside = await localServer(
      (_request, response) => response.writeHead(307, { location: location(inside.port) }).end(),
      { host: "127.0.0.2" },
    );
    const resolve = async (name: string) => answers(name === "inside.example.com" ? "127.0.0.1" : "127.0.0.2");
    const error = await rejection(get(`http://files.example.com:${outside.port}/`, standInNetwork({ resolve })));
    expect(error.code).toBe("refused");
    expect(JSON.stringify([error.message, error.hint])).not.toContain("word@");
    expect(inside.requests).toEqual([]);
    expect(outside.requests).toEqual(["GET /"]);
  });

  test("is not followed for ever", async () => {
    await using server = await localServer((_request, response) => response.writeHead(301, { location: "/" }).end(), {
      host: "127.0.0.2",
    });
    expect((await get(`http://files.example.com:${server.port}/`, standInNetwork(), 3)).status).toBe(301);
    expect(server.requests).toHaveLength(4);
  });
});

describe("the environment", () => {
  afterEach(() => vi.unstubAllEnvs());

  test("cannot add a proxy", async () => {
    await using proxy = await localServer((_request, response) => response.end("proxy"));
    await using server = await localServer((_request, response) => response.end("hello"), { host: "127.0.0.2" });
    for (const name of ["HTTP_PROXY", "http_proxy", "ALL_PROXY"]) vi.stubEnv(name, `http://127.0.0.1:${proxy.port}`);
    vi.stubEnv("NODE_USE_ENV_PROXY", "1");
    expect((await get(`http://files.example.com:${server.port}/`, standInNetwork())).body).toBe("hello");
  });
});

test("reveals no addresses in an error", async () => {
  const port = await closedPort();
  const error = await rejection(get(`http://files.example.com:${port}/`, standInNetwork()));
  expect(error.code).toBe("transfer-failed");
  expect(error.message).toBe(`files.example.com:${port} cannot be reached: it refuses connections on this port`);
});

test.each([
  "\u0000\u0001 no HTTP\r\n\r\n",
  "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
])("rejects an invalid answer: %j", async (answer) => {
  await using server = await localServer(({ socket }) => void socket.end(answer), { host: "127.0.0.2" });
  expect((await rejection(get(`http://files.example.com:${server.port}/`, standInNetwork()))).message).toContain(
    "its answer is not HTTP",
  );
});

test("ends a request, and an answer that has begun, by the signal", async () => {
  const stop = new AbortController();
  await using server = await localServer(
    ({ url }, response) => {
      if (url === "/silent") stop.abort(new Error("enough"));
      else response.write("begin");
    },
    { host: "127.0.0.2" },
  );
  const base = `http://files.example.com:${server.port}`;
  const later = new AbortController();
  const { response } = await checkedRequest(`${base}/begins`, { redirects: 0 }, standInNetwork(), later.signal);
  const body = rejection(text(response));
  later.abort(new Error("enough"));
  expect(await body).toBeInstanceOf(Error);
  expect(await rejection(checkedRequest(`${base}/silent`, { redirects: 0 }, standInNetwork(), stop.signal))).toEqual(
    new Error("enough"),
  );
});

let hasOpenssl = true;
try {
  execFileSync("openssl", ["version"], { stdio: "ignore" });
} catch {
  hasOpenssl = false;
  console.warn("skipped: TLS, there is no openssl to make keys with");
}

describe.skipIf(!hasOpenssl)("TLS", () => {
  afterEach(() => {
    vi.unstubAllEnvs();
    vi.restoreAllMocks();
  });

  async function secured(): Promise<AsyncDisposable & { port: number; ca: string; requests: string[] }> {
    await using folder = await temporaryFolder();
    const [key, cert] = [join(folder.path, "key.pem"), join(folder.path, "cert.pem")];
    const options = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    const names = ["-subj", "/CN=files.example.com", "-addext", "subjectAltName=DNS:files.example.com"];
    execFileSync("openssl", ["req", "-x509", ...options, ...names, "-keyout", key, "-out", cert], { stdio: "ignore" });
    const ca = readFileSync(cert, "utf8");
    const server = await localServer(
      ({ url }, response) =>
        url === "/down"
          ? response.writeHead(302, { location: "http://files.example.com/" }).end()
          : response.end("secured"),
      { host: "127.0.0.2", tls: { key: readFileSync(key), cert: ca } },
    );
    return Object.assign(server, { ca });
  }

  test("verifies the certificate against the name in the address", async () => {
    await using server = await secured();
    const trusting = standInNetwork({ ca: server.ca });
    expect((await get(`https://files.example.com:${server.port}/`, trusting)).body).toBe("secured");
    const other = await rejection(get(`https://other.example.com:${server.port}/`, trusting));
    expect(other.message).toBe(
      `other.example.com:${server.port} cannot be reached: its certificate is for another host`,
    );
    vi.stubEnv("NODE_TLS_REJECT_UNAUTHORIZED", "0");
    vi.spyOn(process, "emitWarning").mockImplementation(() => {}); // Node's, about this variable
    const unknown = await rejection(get(`https://files.example.com:${server.port}/`, standInNetwork()));
    expect(unknown.message).toContain("its certificate is self-signed");
    expect(server.requests).toHaveLength(1);
  });

  test("does not follow a redirect to plain HTTP", async () => {
    await using server = await secured();
    const error = await rejection(
      get(`https://files.example.com:${server.port}/down`, standInNetwork({ ca: server.ca })),
    );
    expect(error.message).toContain("it leads from https to http");
  });
});
