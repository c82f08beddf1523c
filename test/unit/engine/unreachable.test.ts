import { chmod, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { openEngine } from "../../../src/engine/open/open-engine.ts";
import { parseHost } from "../../../src/engine/connect/endpoint.ts";
import { Failure } from "../../../src/output/errors.ts";
import { closedPort, fakeEngine, rejection, temporaryFolder } from "./fake-engine.ts";

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
beforeEach(async () => void (folder = await temporaryFolder()));
afterEach(() => folder[Symbol.asyncDispose]());

async function failureOf(host: string): Promise<Failure> {
  const error = await rejection(openEngine(parseHost(host, "DOCKER_HOST")));
  expect(error).toBeInstanceOf(Failure);
  expect(error).toMatchObject({ code: "engine-unreachable", expected: expect.any(String), hint: expect.any(String) });
  expect(error.message).toContain(`${host} (DOCKER_HOST)`);
  return error as Failure;
}

describe("an engine that cannot be reached", () => {
  test.skipIf(process.platform === "win32")("because the socket does not exist", async () => {
    const error = await failureOf(`unix://${join(folder.path, "none.sock")}`);
    expect(error.message).toContain("there is no such socket");
    expect(error.hint).toContain("docker context");
  });

  test.skipIf(process.platform === "win32")("because the file is not a socket", async () => {
    await writeFile(join(folder.path, "file"), "");
    expect((await failureOf(`unix://${join(folder.path, "file")}`)).message).toContain("connection refused");
  });

  test("because no program listens", async () => {
    expect((await failureOf(`tcp://127.0.0.1:${await closedPort()}`)).message).toContain("connection refused");
  });

  test("because the host name is unknown", async () => {
    expect((await failureOf("tcp://no-such-host.invalid:2375")).message).toContain("there is no host of that name");
  });

  // Root may use every socket, so this test switches to another effective user if it runs as root.
  const mayDrop = process.getuid?.() !== 0 || process.seteuid !== undefined;
  if (!mayDrop) console.warn("skipped: this process is root and cannot take another user (a worker thread?)");
  test.skipIf(process.platform === "win32" || !mayDrop)("because this user may not use the socket", async () => {
    await using fake = await fakeEngine();
    await chmod(folder.path, 0o755);
    await chmod(fake.socketPath, 0o000);
    await chmod(join(fake.socketPath, ".."), 0o755);
    const isFolderPath = process.getuid?.() === 0;
    try {
      if (isFolderPath) process.seteuid?.(65534);
      const error = await failureOf(`unix://${fake.socketPath}`);
      expect(error.message).toContain("permission denied");
      expect(error.hint).toMatch(/group docker.*sudo.*rootless/);
    } finally {
      if (isFolderPath) process.seteuid?.(0);
    }
  });

  test.each([
    ["hangs up", "", "closed the connection", "engine's log"],
    ["does not speak HTTP", "SSH-2.0-OpenSSH_9.2\r\n", "not HTTP", "start-up files"],
    [
      "is not an engine",
      "HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnot here\n",
      "HTTP status 404 and no API version: not here",
      "docker context",
    ],
    [
      "wants TLS",
      "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n",
      "HTTPS",
      "DOCKER_TLS_VERIFY=1",
    ],
    [
      "is too old",
      "HTTP/1.1 200 OK\r\nApi-Version: 1.39\r\nContent-Length: 2\r\n\r\nOK",
      "API version 1.39",
      "docker context",
    ],
  ])("because the server %s", async (_name, says, reason, hint) => {
    const server = createServer((socket) => socket.once("data", () => socket.end(says)));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const error = await failureOf(`tcp://127.0.0.1:${port}`);
    expect(error.message).toContain(reason);
    expect(error.hint).toContain(hint);
    await new Promise((resolve) => server.close(resolve));
  });
});

describe("the environment", () => {
  afterEach(() => vi.unstubAllEnvs());

  test.each([
    ["DOCKER_HOST", "tcp://another.invalid:1"],
    ["DOCKER_HOST", "::: not a host :::"],
    ["DOCKER_TLS_VERIFY", "1"],
    ["DOCKER_CERT_PATH", "/nowhere"],
    ["DOCKER_PATH_PREFIX", "/elsewhere"],
    ["DOCKER_CLIENT_TIMEOUT", "1"],
  ])("%s=%s does not change the choice", async (name, value) => {
    await using fake = await fakeEngine();
    vi.stubEnv(name, value);
    if (name !== "DOCKER_HOST") vi.stubEnv("DOCKER_HOST", "tcp://another.invalid:1");
    await using engine = await openEngine(fake.endpoint);
    expect(engine.address).toBe(`unix://${fake.socketPath} (test)`);
    expect(process.env[name]).toBe(value);
  });
});
