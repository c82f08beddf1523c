/** Peers that do not send a valid preamble: the failures of the handshake, and its limits of memory. */
import { once } from "node:events";
import { describe, expect, test } from "vitest";
import { KEPT_NOISE, MAGIC_LINE, MAX_HELLO, MAX_NOISE } from "../../../src/stdio-tunnel/constants.ts";
import type { HandshakeOptions, Role } from "../../../src/stdio-tunnel/handshake.ts";
import { hello } from "../../fixtures/remote/open-end.ts";
import { duplexPair } from "./carriers.ts";
import { peerBytes, greet, HELLO_LINE, refusal } from "./preamble.ts";

const ENDS = ["initiator", "spawned"] as const;

describe.each(ENDS)("the %s", (end) => {
  test("gives up after 1 MB of endless garbage", async () => {
    const [near, remote] = duplexPair();
    const kilobyte = "garbage\n".repeat(125);
    const babble = (): void => void (remote.destroyed || remote.write(kilobyte, babble));
    babble();
    const error = await refusal(greet(near, { origin: end }));
    near.destroy();
    expect(error).toMatchObject({ code: "remote-not-a-tunnel", ended: false });
    expect(error.message).toContain("more than 1 MB of other text");
    expect(error.noise).toHaveLength(KEPT_NOISE);
    expect(error.noise.endsWith("garbage\n")).toBe(true);
    expect(near.bytesRead).toBeGreaterThan(MAX_NOISE);
    expect(near.bytesRead).toBeLessThan(MAX_NOISE + 200_000);
  });

  test.each([
    ["is not JSON", "hello\n", "is not JSON"],
    ["is empty", "\n", "is not JSON"],
    [
      "is longer than 64 kB",
      `${JSON.stringify({ ...hello("sender"), image: "x".repeat(MAX_HELLO) })}\n`,
      "longer than 64 kB",
    ],
    ["never ends", "x".repeat(MAX_HELLO + 1), "longer than 64 kB"],
    ["is null", "null\n", "lacks a version"],
    ["is a list", "[1]\n", "lacks a version"],
    ["is a text", '"1"\n', "lacks a version"],
    [
      "has a protocol that is not a number",
      `${JSON.stringify({ ...hello("sender"), protocol: "1" })}\n`,
      "lacks a version",
    ],
    ["has a tool that is not a string", `${JSON.stringify({ ...hello("sender"), tool: 1 })}\n`, "lacks a version"],
    ["has no role", `${JSON.stringify({ ...hello("sender"), role: undefined })}\n`, "names no role"],
    ["has an unknown role", `${JSON.stringify({ ...hello("sender"), role: "viewer" })}\n`, "names no role"],
  ])("rejects a hello that %s", async (_what, line, words) => {
    const error = await refusal(greet(peerBytes(`banner\n${MAGIC_LINE}${line}`), { origin: end }));
    expect(error).toMatchObject({ code: "remote-not-a-tunnel", noise: "banner\n", ended: false });
    expect(error.message).toContain(words);
    expect(error.expected).toContain("docker-over-ssh pull");
  });

  test("accepts a hello of exactly 64 kB", async () => {
    const rest = JSON.stringify({ ...hello("sender"), image: "" }).length;
    const line = JSON.stringify({ ...hello("sender"), image: "x".repeat(MAX_HELLO - rest) });
    expect(line).toHaveLength(MAX_HELLO);
    await expect(greet(peerBytes(`${MAGIC_LINE}${line}\n`), { origin: end })).resolves.toMatchObject({
      peer: { role: "sender" },
    });
  });

  test("reports a missing answer, with the noise", async () => {
    const error = await refusal(greet(peerBytes("password: "), { origin: end, timeout: 20 }));
    expect(error).toMatchObject({ code: "remote-no-answer", noise: "password: ", ended: false });
    expect(error.message).toContain("0.02 s");
    expect(error.hint).toContain("--timeout");
  });

  test("reports a missing hello as no answer", async () => {
    expect(await refusal(greet(peerBytes(`motd\n${MAGIC_LINE}`), { origin: end, timeout: 20 }))).toMatchObject({
      code: "remote-no-answer",
      noise: "motd\n",
    });
  });

  test.each([
    ["before the magic line", "sh: not found\n"],
    ["within the magic line", MAGIC_LINE.slice(0, 9)],
    ["after the magic line", MAGIC_LINE],
    ["within the hello", `${MAGIC_LINE}${HELLO_LINE.slice(0, 9)}`],
    ["immediately", ""],
  ])("reports that the remote side closed its output %s", async (_when, bytes) => {
    const [near, remote] = duplexPair();
    remote.end(bytes);
    const error = await refusal(greet(near, { origin: end }));
    expect(error).toMatchObject({ code: "remote-not-a-tunnel", ended: true });
    expect(error.message).toContain("closed its output");
    expect(error.noise).toBe(bytes.startsWith(MAGIC_LINE) ? "" : bytes);
  });

  test("reports a broken stream, with the cause", async () => {
    const [near] = duplexPair();
    const error = refusal(greet(near, { origin: end }));
    near.destroy(new Error("EIO"));
    expect(await error).toMatchObject({ code: "remote-not-a-tunnel", ended: true, cause: { message: "EIO" } });
  });

  test("reports a stream that closes without data", async () => {
    const [near] = duplexPair();
    const error = refusal(greet(near, { origin: end }));
    near.destroy();
    expect(await error).toMatchObject({ code: "remote-not-a-tunnel", ended: true });
  });

  test("reports a stream that is already closed", async () => {
    const [near] = duplexPair();
    near.destroy();
    await new Promise((resolve) => near.once("close", resolve));
    expect(await refusal(greet(near, { origin: end }))).toMatchObject({ code: "remote-not-a-tunnel", ended: true });
  });

  test("rejects with the signal's reason after an abort", async () => {
    const stop = new AbortController();
    const reason = new Error("Ctrl-C");
    const greeting = greet(peerBytes("motd"), { origin: end, signal: stop.signal });
    stop.abort(reason);
    await expect(greeting).rejects.toBe(reason);
    await expect(greet(peerBytes(), { origin: end, signal: stop.signal })).rejects.toBe(reason);
  });

  test("leaves no timer or listener behind", async () => {
    const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
    const before = timers();
    const near = peerBytes(`${MAGIC_LINE}{}\n`);
    const stop = new AbortController();
    await refusal(greet(near, { origin: end, signal: stop.signal }));
    expect(timers()).toBe(before);
    expect(near.listenerCount("readable")).toBe(0);
  });
});

/** Runs both sides of a preamble. Returns the error of each. */
async function bothRefusals(
  initiator: Partial<HandshakeOptions>,
  spawned: Partial<HandshakeOptions>,
): Promise<unknown[]> {
  const [near, remote] = duplexPair();
  return await Promise.all([
    refusal(greet(near, { origin: "initiator", ...initiator })),
    refusal(greet(remote, { origin: "spawned", ...spawned })),
  ]);
}

test("names both protocols and both tools on each side for another protocol", async () => {
  // This tool does not support protocol 2. A peer that supports it looks the same to both sides.
  const line = `${MAGIC_LINE}${JSON.stringify({ protocol: 2, tool: "9.0.0", role: "relay" })}\n`;
  for (const end of ENDS) {
    const [near, remote] = duplexPair();
    remote.write(line);
    const error = await refusal(greet(near, { origin: end }));
    expect(error).toMatchObject({ code: "remote-other-protocol", exitStatus: 8 });
    expect(error.message).toMatch(/docker-over-ssh 9\.0\.0.*protocol 2/);
    expect(error.expected).toMatch(/protocol 1.*docker-over-ssh 0\.1\.0-test/);
    // The peer gets this side's hello, so that it can report the same.
    const [received] = (await once(remote, "data")) as [Buffer];
    expect(String(received)).toContain('"protocol":1,"tool":"0.1.0-test"');
  }
});

test.each<[Role, string, string]>([
  ["sender", "push", "pull"],
  ["receiver", "pull", "push"],
])("rejects two sides that are both %s", async (role, command, other) => {
  const errors = await bothRefusals({ hello: hello(role) }, { hello: hello(role) });
  for (const error of errors) {
    expect(error).toMatchObject({ code: "usage", message: expect.stringContaining(`docker-over-ssh ${command}`) });
    expect(error).toMatchObject({ hint: expect.stringContaining(`docker-over-ssh ${other}`) });
  }
});
