import { once } from "node:events";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { Failure } from "../../../src/output/errors.ts";
import type { Conversation } from "../../../src/stdio-tunnel/conversation.ts";
import { acceptConversations, ConversationOpener } from "../../../src/stdio-tunnel/conversations.ts";
import { useTunnel } from "../../../src/stdio-tunnel/open.ts";
import type { Tunnel } from "../../../src/stdio-tunnel/session.ts";
import { tunnelPair } from "./carriers.ts";

/** Plays the sender: answers each conversation, and returns the outcomes. */
async function serve(tunnel: Tunnel, answer: (conversation: Conversation) => Promise<unknown>): Promise<unknown[]> {
  const outcomes: unknown[] = [];
  for await (const conversation of acceptConversations(tunnel)) {
    const signal = new AbortController().signal;
    outcomes.push(await useTunnel(conversation, { signal }, answer).catch((error: unknown) => error));
  }
  return outcomes;
}

/** Greets on a stream with the name that the receiver requests, and returns the receiver's result. */
async function greet(conversation: Conversation): Promise<unknown> {
  const { name } = await conversation.next("ask");
  return await greetBy(conversation, name);
}

async function greetBy(conversation: Conversation, name: unknown): Promise<unknown> {
  if (name === "nobody") throw new Failure("image-not-found", "there is no image nobody");
  conversation.listen("registry", (stream) => stream.end(`hello ${String(name)}`));
  await conversation.send({ type: "about" });
  return (await conversation.result())["greeting"];
}

async function ask(conversation: Conversation, name: string): Promise<string> {
  await conversation.send({ type: "ask", name });
  await conversation.next("about");
  const stream = conversation.connect("registry");
  stream.end();
  const greeting = await text(stream);
  expect(await conversation.finish({ greeting })).toBe(true);
  return greeting;
}

test("gives each conversation its own messages, streams and result", async () => {
  const { sender, receiver } = await tunnelPair();
  const served = serve(sender, greet);
  const conversations = new ConversationOpener(receiver);
  const greetings: string[] = [];
  for (const name of ["a", "b", "c"]) greetings.push(await ask(conversations.open(), name));
  expect(greetings).toEqual(["hello a", "hello b", "hello c"]);
  expect(await receiver.finish({})).toBe(true);
  expect(await served).toEqual(greetings);
  await sender.closed;
});

test("counts the bytes of each conversation", async () => {
  const { sender, receiver } = await tunnelPair();
  void serve(sender, async (conversation) => {
    await conversation.next("ask");
    conversation.listen("registry", (stream) => stream.end(Buffer.alloc(100_000)));
    await conversation.send({ type: "about" });
    await conversation.result();
  }).catch(() => {});
  const conversations = new ConversationOpener(receiver);
  for (const name of ["a", "b"]) {
    const conversation = conversations.open();
    await ask(conversation, name);
    expect(conversation.bytesReceived).toBeGreaterThan(100_000);
    expect(conversation.bytesReceived).toBeLessThan(110_000);
  }
  await receiver.close();
});

test("ends only the conversation in which the sender fails", async () => {
  const { sender, receiver } = await tunnelPair();
  const served = serve(sender, greet);
  const conversations = new ConversationOpener(receiver);
  const failed = conversations.open();
  await expect(ask(failed, "nobody")).rejects.toMatchObject({ code: "image-not-found" });
  expect(failed.signal.reason).toMatchObject({ message: "there is no image nobody" });
  expect(receiver.signal.aborted).toBe(false);
  expect(await ask(conversations.open(), "b")).toBe("hello b");
  await receiver.finish({});
  expect(await served).toEqual([expect.objectContaining({ code: "image-not-found" }), "hello b"]);
});

test("ends only the conversation in which the receiver fails, with its streams", async () => {
  const { sender, receiver } = await tunnelPair();
  const served = serve(sender, async (conversation) => {
    const { name } = await conversation.next("ask");
    if (name !== "endless") return await greetBy(conversation, name);
    conversation.listen("registry", (stream) => stream.on("error", () => {}).write("endless"));
    await conversation.send({ type: "about" });
    return await conversation.result();
  });
  const conversations = new ConversationOpener(receiver);
  const failed = conversations.open();
  await failed.send({ type: "ask", name: "endless" });
  await failed.next("about");
  const stream = failed.connect("registry").on("error", () => {});
  await once(stream, "data");
  expect(await failed.fail(new Failure("no-space", "the disk is full"))).toBe(true);
  expect(stream.destroyed).toBe(true);
  expect(await ask(conversations.open(), "b")).toBe("hello b");
  await receiver.finish({});
  expect(await served).toEqual([expect.objectContaining({ code: "no-space" }), "hello b"]);
});

test("ends only the conversation with an invalid message", async () => {
  const { sender, receiver } = await tunnelPair();
  const served = serve(sender, greet);
  const broken = receiver.connect("control:1").on("error", () => {});
  broken.end("no JSON\n");
  await once(broken.resume(), "close");
  const control = receiver.connect("control:2").on("error", () => {});
  expect(control.destroyed).toBe(false);
  control.end(`${JSON.stringify({ type: "failure", code: "refused", message: "enough" })}\n`);
  await once(control.resume(), "close");
  await receiver.finish({});
  expect(await served).toEqual([
    expect.objectContaining({ code: "transfer-failed" }),
    expect.objectContaining({ code: "refused", message: "enough" }),
  ]);
});

test("ends all conversations when the link is lost", async () => {
  const { sender, receiver } = await tunnelPair();
  const served = serve(sender, greet);
  served.catch(() => {});
  const conversation = new ConversationOpener(receiver).open();
  const asked = ask(conversation, "a");
  asked.catch(() => {});
  await sender.fail(new Failure("engine-unreachable", "the engine is gone"));
  await expect(asked).rejects.toMatchObject({ message: "the engine is gone" });
  expect(conversation.signal.reason).toBe(receiver.signal.reason);
  await expect(served).rejects.toMatchObject({ code: "link-lost" });
  expect(() => new ConversationOpener(receiver).open()).toThrow("the engine is gone");
});

test("rejects a number that is not the next, or was used", async () => {
  const { sender, receiver } = await tunnelPair();
  const served = serve(sender, greet);
  for (const number of ["2", "0", "01", "-1", "x", ""]) {
    const [error] = (await once(receiver.connect(`control:${number}`), "error")) as [Error];
    expect(error.message).toContain("has no service");
  }
  expect(await ask(new ConversationOpener(receiver).open(), "a")).toBe("hello a");
  const [used] = (await once(receiver.connect("control:1"), "error")) as [Error];
  expect(used.message).toContain("has no service");
  const [gone] = (await once(receiver.connect("registry:1"), "error")) as [Error];
  expect(gone.message).toContain("has no service");
  await receiver.finish({});
  expect(await served).toEqual(["hello a"]);
});
