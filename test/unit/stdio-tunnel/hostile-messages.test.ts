/** A peer that breaks the protocol in the session. */
import { once } from "node:events";
import { connect as connectHttp2, type Http2Stream } from "node:http2";
import type { Duplex } from "node:stream";
import { describe, expect, test } from "vitest";
import { MAX_CONTROL_LINE } from "../../../src/stdio-tunnel/constants.ts";
import { Failure } from "../../../src/output/errors.ts";
import type { Tunnel } from "../../../src/stdio-tunnel/session.ts";
import { hello, openEnd } from "../../fixtures/remote/open-end.ts";
import { duplexPair, tunnelPair } from "./carriers.ts";
import { greet } from "./preamble.ts";

/** A real sender, and a receiver that sends the test's input. */
async function rawReceiver(): Promise<{
  sender: Tunnel;
  open: (headers: Record<string, string>) => Http2Stream & Duplex;
}> {
  const [near, remote] = duplexPair();
  const [sender] = await Promise.all([openEnd(near, "spawned", "sender"), greet(remote, { hello: hello("receiver") })]);
  const session = connectHttp2("http://tunnel", { createConnection: () => remote });
  session.on("error", () => {});
  return { sender, open: (headers) => session.request(headers).on("error", () => {}) };
}

const CONTROL = { ":method": "CONNECT", ":authority": "control" };

async function reasonOf(tunnel: Tunnel): Promise<unknown> {
  if (!tunnel.signal.aborted) await once(tunnel.signal, "abort");
  return tunnel.signal.reason;
}

describe("a control line", () => {
  test.each([
    ["is not JSON", "hello\n"],
    ["is empty", "\n"],
    ["is a list", '["result"]\n'],
    ["is a number", "5\n"],
    ["is null", "null\n"],
    ["has no type", "{}\n"],
    ["has a type that is not a string", '{"type":1}\n'],
  ])("that %s ends the tunnel, and the reason is sent to the remote side", async (_what, line) => {
    const { sender, open } = await rawReceiver();
    const control = open(CONTROL);
    control.write(line);
    const received = (await once(control, "data")) as [Buffer];
    expect(await reasonOf(sender)).toMatchObject({
      code: "transfer-failed",
      message: expect.stringContaining("is not a message"),
    });
    expect(JSON.parse(String(received[0]))).toMatchObject({ type: "failure", code: "transfer-failed" });
  });

  test("that never ends causes an error after 1 MB", async () => {
    const { sender, open } = await rawReceiver();
    const control = open(CONTROL);
    const more = (): void => void (control.destroyed || control.write("x".repeat(50_000), more));
    more();
    expect(await reasonOf(sender)).toMatchObject({ code: "transfer-failed", message: expect.stringContaining("1 MB") });
    expect(sender.bytesReceived).toBeLessThan(MAX_CONTROL_LINE + 500_000);
  });

  test("of almost 1 MB is read, however it is split, and the next line as well", async () => {
    const { sender, receiver } = await tunnelPair();
    const words = "ä".repeat(MAX_CONTROL_LINE / 2 - 100);
    await receiver.send({ type: "long", words });
    expect((await sender.next("long"))["words"]).toBe(words);
    await receiver.send({ type: "long", words });
    expect((await sender.next("long"))["words"]).toBe(words);
    await Promise.all([sender.close(), receiver.close()]);
  });
});

test("ends only the tunnel after an error of a listener", async () => {
  const { sender, receiver } = await tunnelPair();
  const failure = new Failure("transfer-failed", "the remote side broke the protocol: a malformed number");
  receiver.on("progress", () => {
    throw failure;
  });
  await sender.send({ type: "progress", current: "much" });
  expect(await reasonOf(receiver)).toBe(failure);
  expect(await reasonOf(sender)).toMatchObject({ message: failure.message });
});

test("stores messages without a listener for only a few types", async () => {
  const { sender, receiver } = await tunnelPair();
  for (let number = 0; number < 20; number++) await sender.send({ type: `type ${number}`, number });
  await sender.send({ type: "type 0", number: "last" });
  expect(await receiver.next("type 0")).toMatchObject({ number: "last" });
  expect(await receiver.next("type 15")).toMatchObject({ number: 15 });
  const forgotten = receiver.next("type 16");
  await Promise.all([sender.close(), receiver.close()]);
  await expect(forgotten).rejects.toMatchObject({ code: "link-lost" });
});

describe("a stream", () => {
  test.each([
    ["is not CONNECT", { ":method": "GET", ":path": "/" }],
    ["names no service", { ":method": "CONNECT", ":authority": "nobody" }],
    ["names a property that every object has", { ":method": "CONNECT", ":authority": "constructor" }],
  ])("that %s gets 404, and the tunnel stays open", async (_what, headers) => {
    const { sender, open } = await rawReceiver();
    const [response] = (await once(open(headers), "response")) as [Record<string, unknown>];
    expect(response[":status"]).toBe(404);
    expect(sender.signal.aborted).toBe(false);
    await sender.close();
  });

  test("that is opened and reset in one packet is harmless", async () => {
    const { sender, receiver } = await tunnelPair();
    sender.listen("echo", (stream) => stream.pipe(stream));
    for (let count = 0; count < 50; count++) {
      const stream = receiver.connect("echo").on("error", () => {});
      if (count % 2 === 0) stream.once("ready", () => stream.destroy());
      else stream.destroy();
    }
    expect(String(Buffer.concat(await receiver.connect("echo").end("still here").toArray()))).toBe("still here");
    await Promise.all([sender.close(), receiver.close()]);
  });
});

test.each(["sender", "receiver"] as const)(
  "reports a peer that does not use HTTP/2 as a lost link to the %s",
  async (role) => {
    const [near, remote] = duplexPair();
    const other = role === "sender" ? "receiver" : "sender";
    const [tunnel] = await Promise.all([openEnd(near, "spawned", role), greet(remote, { hello: hello(other) })]);
    remote.resume().write("HTTP/1.1 400 Bad Request\r\n\r\n".repeat(10));
    expect(await reasonOf(tunnel)).toMatchObject({ code: "link-lost" });
    await tunnel.closed;
  },
);
