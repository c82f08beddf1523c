import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { expect, test, vi } from "vitest";
import { bindSocket } from "../../../../src/guard/sockets/bind-socket.ts";
import { connected, endpointIn, greet, greeting, temporaryFolder, TENANT } from "./socket-bed.ts";

const options = { onProblem: () => {}, signal: new AbortController().signal };

test("answers a connection beyond the quota with 429 at once, and accepts one again when another is closed", async () => {
  await using folder = await temporaryFolder();
  const endpoint = endpointIn(folder.path);
  let counted = 0;
  const onRefused = (): void => void counted++;
  await using _bound = await bindSocket(endpoint, greet, { ...options, quotas: () => ({ connections: 2 }), onRefused });
  const first = await connected(endpoint.socket);
  const second = await connected(endpoint.socket);
  const refused = await greeting(endpoint.socket);
  expect(refused).toMatch(/^HTTP\/1\.1 429 /);
  expect(counted).toBe(1);
  const [head = "", body = ""] = refused.split("\r\n\r\n");
  expect(head).toContain(`Content-Length: ${body.length}`);
  expect(head).toContain("Retry-After: 1\r\n");
  expect(JSON.parse(body)).toEqual({
    message: "too many open connections of this tenant: close some, or ask the operator to raise --max-connections",
  });
  first.destroy();
  await vi.waitFor(async () => expect(await greeting(endpoint.socket)).toBe("hello"));
  second.destroy();
});

test("reads the quota for each connection", async () => {
  await using folder = await temporaryFolder();
  const endpoint = endpointIn(folder.path);
  let connections = 0;
  await using _bound = await bindSocket(endpoint, greet, { ...options, quotas: () => ({ connections }) });
  expect(await greeting(endpoint.socket)).toContain("429");
  connections = 1;
  expect(await greeting(endpoint.socket)).toBe("hello");
});

test("closes 10,000 connections of one tenant while it answers another", async () => {
  await using folder = await temporaryFolder();
  await using calm = await temporaryFolder();
  let open = 0;
  let most = 0;
  const count = (connection: Socket): void => {
    most = Math.max(most, ++open);
    connection.once("close", () => open--);
    greet(connection);
  };
  await using _loud = await bindSocket(endpointIn(folder.path, true), count, options);
  await using _calm = await bindSocket(endpointIn(calm.path, true, { ...TENANT, id: "calm" }), greet, options);
  let left = 10_000;
  const hold: Socket[] = [];
  const flood = async (): Promise<void> => {
    while (left-- > 0) {
      const socket = connect(endpointIn(folder.path).socket);
      hold.push(socket);
      socket.on("error", () => {});
      await Promise.race([once(socket, "close"), once(socket, "data")]);
    }
  };
  const state = { isOver: false };
  const flooding = Promise.all(Array.from({ length: 300 }, flood)).finally(() => (state.isOver = true));
  let answered = 0;
  while (!state.isOver) if ((await greeting(endpointIn(calm.path).socket)) === "hello") answered++;
  await flooding;
  for (const socket of hold) socket.destroy();
  expect(answered).toBeGreaterThan(10);
  expect(most).toBe(TENANT.quotas.connections);
});
