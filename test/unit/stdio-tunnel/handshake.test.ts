/** The preamble of two sides, with any split of the bytes and any text before it. PROTOCOL.md, 1. */
import { buffer } from "node:stream/consumers";
import { describe, expect, test } from "vitest";
import { KEPT_NOISE, MAGIC_LINE, MAX_NOISE } from "../../../src/stdio-tunnel/constants.ts";
import { hello } from "../../fixtures/remote/open-end.ts";
import { duplexPair } from "./carriers.ts";
import { peerBytes, greet, HELLO_LINE } from "./preamble.ts";

const PEER_PREAMBLE = `${MAGIC_LINE}${HELLO_LINE}`;

describe("finds the magic line", () => {
  test.each(Array.from({ length: PEER_PREAMBLE.length - 1 }, (_, index) => index + 1))(
    "split after byte %i",
    async (at) => {
      const { peer, noise } = await greet(peerBytes(PEER_PREAMBLE.slice(0, at), PEER_PREAMBLE.slice(at)));
      expect({ peer, noise }).toEqual({ peer: hello("sender"), noise: "" });
    },
  );

  test("if every byte arrives in its own chunk", async () => {
    const { peer, noise } = await greet(peerBytes(...Array.from(`motd\n${PEER_PREAMBLE}`)));
    expect({ peer, noise }).toEqual({ peer: hello("sender"), noise: "motd\n" });
  });

  test.each([
    ["a banner", "Welcome to Ubuntu\n"],
    ["a prompt without a line feed", "Last login: today $ "],
    ["the start of the magic line", MAGIC_LINE.slice(0, 10)],
    ["the magic line without its line feed", MAGIC_LINE.trim()],
    ["its end", MAGIC_LINE.slice(5)],
    ["the magic line with a carriage return", `${MAGIC_LINE.trim()}\r\n`],
    ["its first byte, repeated", "#".repeat(100)],
    ["bytes that are not text", "\u0000\u001b[31m"],
  ])("after %s", async (_what, noise) => {
    for (let at = 0; at <= noise.length; at++) {
      const greeting = await greet(peerBytes(noise.slice(0, at), noise.slice(at) + PEER_PREAMBLE));
      expect(greeting).toEqual({ peer: hello("sender"), noise });
    }
  });

  test("after almost 1 MB, whose end is stored", async () => {
    const lines = Array.from({ length: 20 }, () => `${"x".repeat(MAX_NOISE / 20 - 2)}\n`);
    const { noise } = await greet(peerBytes(...lines, `the end${PEER_PREAMBLE}`));
    expect(noise).toHaveLength(KEPT_NOISE);
    expect(noise).toMatch(/x\nthe end$/);
  });
});

describe("the bytes after the hello", () => {
  test("stay in the stream, also those of the same chunk", async () => {
    const [near, remote] = duplexPair();
    remote.write(`${PEER_PREAMBLE}PRI * HTTP/2.0`);
    remote.end(" and more");
    await greet(near);
    expect(String(await buffer(near))).toBe("PRI * HTTP/2.0 and more");
  });

  test("can arrive later: the stream stays open and paused", async () => {
    const [near, remote] = duplexPair();
    remote.write(PEER_PREAMBLE);
    await greet(near);
    expect(near.listenerCount("readable") + near.listenerCount("data") + near.listenerCount("end")).toBe(0);
    expect(near.destroyed).toBe(false);
  });
});

describe("the first to write", () => {
  test("is the spawned side, immediately", async () => {
    const [near, remote] = duplexPair();
    void greet(near, { origin: "spawned" }).catch(() => {});
    expect(String(await nextChunk(remote))).toMatch(/^#docker-over-ssh#tunnel#\n\{.*\}\n$/);
    near.destroy();
  });

  test("is not the initiator, which writes after it has read the magic line and the hello", async () => {
    const [near, remote] = duplexPair();
    const greeting = greet(near);
    remote.write("Password: ");
    remote.write(MAGIC_LINE);
    await new Promise(setImmediate);
    expect(near.bytesWritten).toBe(0);
    remote.write(HELLO_LINE);
    await greeting;
    expect(String(await nextChunk(remote))).toBe(`${MAGIC_LINE}${JSON.stringify(hello("receiver"))}\n`);
  });
});

describe("a hello of a newer tool", () => {
  test("is accepted, and unknown fields and features are ignored", async () => {
    const words = { ...hello("sender"), features: ["delta", 7, "zstd"], compression: { level: 3 } };
    const { peer } = await greet(peerBytes(`${MAGIC_LINE}${JSON.stringify(words)}\n`));
    expect(peer).toEqual({ ...hello("sender"), features: ["delta", "zstd"] });
  });

  test.each([
    ["features", "all"],
    ["features", null],
    ["image", 5],
  ])("is accepted, and %s of the wrong type is ignored: %j", async (field, value) => {
    const { peer } = await greet(peerBytes(`${MAGIC_LINE}${JSON.stringify({ ...hello("sender"), [field]: value })}\n`));
    const { image: _, ...rest } = hello("sender");
    expect(peer).toEqual(field === "image" ? rest : hello("sender"));
  });
});

async function nextChunk(stream: ReturnType<typeof duplexPair>[0]): Promise<Buffer> {
  return await new Promise((resolve) => stream.once("data", resolve));
}
