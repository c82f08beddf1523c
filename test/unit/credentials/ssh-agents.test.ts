import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openAgent, parseAgent } from "../../../src/credentials/ssh-agents.ts";

let folder: string;
let server: Server;
/** Types of the messages that the agent has received */
let asked: number[];
let sockets: Socket[];

/** An agent that answers each message with its type, and an unknown extension with SSH_AGENT_FAILURE. */
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "agent-"));
  [asked, sockets] = [[], []];
  server = createServer((socket) => {
    sockets.push(socket);
    let pending = Buffer.alloc(0);
    socket.on("data", (chunk: Buffer) => {
      pending = Buffer.concat([pending, chunk]);
      while (pending.length >= 4 && pending.length >= 4 + pending.readUInt32BE(0)) {
        const type = pending[4] ?? 0;
        asked.push(type);
        pending = pending.subarray(4 + pending.readUInt32BE(0));
        socket.write(message(type === 27 ? 5 : type + 1));
      }
    });
  });
  server.listen(join(folder, "socket"));
  await once(server, "listening");
});

afterEach(async () => {
  sockets.forEach((socket) => socket.destroy());
  server.close();
  await once(server, "close");
  await rm(folder, { recursive: true });
});

function message(type: number, body = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(1 + body.length);
  head[4] = type;
  return Buffer.concat([head, body]);
}

async function answersOf(agent: Duplex, count: number): Promise<number[]> {
  let received = Buffer.alloc(0);
  for await (const chunk of agent.iterator({ destroyOnReturn: false })) {
    received = Buffer.concat([received, chunk as Buffer]);
    if (received.length >= count * 5) break;
  }
  return Array.from({ length: count }, (_, index) => received[index * 5 + 4] ?? 0);
}

test.each([
  ["default", { id: "default", socket: undefined }],
  ["", { id: "default", socket: undefined }],
  ["git=/run/agent", { id: "git", socket: "/run/agent" }],
  ["git=", { id: "git", socket: undefined }],
])("--ssh %s", (text, expected) => expect(parseAgent(text)).toEqual(expected));

test("rejects several keys", () =>
  expect(() => parseAgent("git=a,b")).toThrow(expect.objectContaining({ code: "usage" })));

test("passes only the listing of keys and signing on to an agent; answers keep their order", async () => {
  const agent = await openAgent(parseAgent("default"), { SSH_AUTH_SOCK: join(folder, "socket") });
  const all = Buffer.concat([
    message(11),
    message(17, Buffer.from("a key to add")),
    message(13, Buffer.from("to sign")),
    message(19), // remove all keys
    message(22), // lock
    message(27, Buffer.from("an extension")),
    message(11),
  ]);
  // Split anywhere
  for (const byte of all) agent.write(Buffer.from([byte]));
  expect(await answersOf(agent, 7)).toEqual([12, 5, 14, 5, 5, 5, 12]);
  expect(asked).toEqual([11, 27, 13, 27, 27, 27, 11]);
  agent.destroy();
  await once(sockets[0] as Socket, "close");
});

test("a message without bounds ends the connection", async () => {
  const agent = await openAgent({ id: "default", socket: join(folder, "socket") }, {});
  agent.write(Buffer.from([0xff, 0xff, 0xff, 0xff, 11]));
  agent.resume();
  await once(agent, "close");
  expect(asked).toEqual([]);
});

test("an agent that ends ends the connection", async () => {
  const agent = await openAgent({ id: "default", socket: join(folder, "socket") }, {});
  agent.write(message(11));
  expect(await answersOf(agent, 1)).toEqual([12]);
  sockets[0]?.end();
  agent.resume();
  await once(agent, "end");
  agent.destroy();
});

test("without an agent, the hint says what to do", async () => {
  await expect(openAgent(parseAgent("default"), {})).rejects.toMatchObject({ code: "usage", hint: /ssh-agent/ });
  const gone = { SSH_AUTH_SOCK: join(folder, "gone") };
  await expect(openAgent(parseAgent("default"), gone)).rejects.toMatchObject({ code: "usage", message: /ENOENT/ });
});

test("rejects a key file", async () => {
  const key = join(folder, "id_ed25519");
  await writeFile(key, "");
  await expect(openAgent(parseAgent(`default=${key}`), {})).rejects.toMatchObject({ code: "usage", hint: /ssh-add/ });
});
