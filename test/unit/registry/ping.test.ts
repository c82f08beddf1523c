import { createServer, globalAgent, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test, vi } from "vitest";
import { pingRegistry } from "../../../src/registry/ping.ts";

const never = new AbortController().signal;

async function ping(answer: RequestListener, timeout?: number) {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const credentials = { username: "run", password: "secret" };
    return await pingRegistry(
      `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      credentials,
      never,
      timeout,
    );
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

describe("the server at a registry's address is", () => {
  test("a registry that is ready, and gets the password", async () => {
    let request: unknown;
    const found = await ping(({ url, headers }, response) => {
      request = { url, authorization: headers.authorization };
      response.end("{}");
    });
    expect(found).toEqual({ state: "ready", reason: "" });
    expect(request).toEqual({ url: "/v2/", authorization: `Basic ${btoa("run:secret")}` });
  });

  test("a registry that requires a password", async () => {
    const found = await ping((_, response) => response.writeHead(401, { "www-authenticate": "Basic" }).end());
    expect(found).toEqual({ state: "asks-for-password", reason: "" });
  });

  test.each([404, 307])("a server that answers with status %i, without following a redirect", async (status) => {
    const found = await ping((_, response) => response.writeHead(status, { location: "http://127.0.0.1:9/" }).end());
    expect(found).toEqual({ state: "not-a-registry", reason: `it answers /v2/ with status ${status}` });
  });

  test("not an HTTP server", async () => {
    const found = await ping(({ socket }) => socket.end("SSH-2.0-OpenSSH\r\n"));
    expect(found).toMatchObject({ state: "not-a-registry" });
  });

  test("a server that does not answer", async () => {
    expect(await ping(() => {}, 50)).toEqual({ state: "unreachable", reason: "no answer" });
  });

  test("missing", async () => {
    const { port } = await new Promise<AddressInfo>((resolve) => {
      const server = createServer().listen(0, "127.0.0.1", () => {
        const address = server.address() as AddressInfo;
        server.close(() => resolve(address));
      });
    });
    expect(await pingRegistry(`http://127.0.0.1:${port}`, undefined, never)).toMatchObject({
      state: "unreachable",
      reason: expect.stringContaining("ECONNREFUSED"),
    });
  });

  // With NODE_USE_ENV_PROXY=1, fetch and the global agent of Node 24 use HTTP_PROXY, even for 127.0.0.1.
  test("reached without the proxy of the environment", async () => {
    const proxied = () => {
      throw new Error("through a proxy");
    };
    vi.stubGlobal("fetch", proxied);
    vi.spyOn(globalAgent, "createConnection").mockImplementation(proxied);
    expect(await ping((_, response) => void response.end("{}"))).toEqual({ state: "ready", reason: "" });
  });
});
