/** A link that breaks, or becomes silent, while both sides are still sending. */
import { once } from "node:events";
import { PassThrough } from "node:stream";
import { describe, expect, test, vi } from "vitest";
import { spawnRemote } from "../../../src/stdio-tunnel/remote-process.ts";
import { MAGIC_LINE, PROTOCOL_VERSION } from "../../../src/stdio-tunnel/constants.ts";
import type { Role } from "../../../src/stdio-tunnel/handshake.ts";
import { overTunnel, type TunnelOptions } from "../../../src/stdio-tunnel/open.ts";
import type { Tunnel } from "../../../src/stdio-tunnel/session.ts";
import { StdioTransport } from "../../../src/stdio-tunnel/transport.ts";
import { hello, openEnd } from "../../fixtures/remote/open-end.ts";
import { outcomeOf, type Outcome } from "../../fixtures/remote/outcome.ts";
import { duplexPair, remoteProgram, tunnelPair } from "./carriers.ts";
import { greet } from "./preamble.ts";

const lost = { code: "link-lost", exitStatus: 9, hint: expect.stringContaining("same command again") };
const cut = { ended: false, failed: true };

/** Returns the pid that an idle remote process reports. */
async function pidOf(tunnel: Tunnel): Promise<number> {
  return (await tunnel.next("pid"))["pid"] as number;
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

describe.each<[Role, Role]>([
  ["sender", "receiver"],
  ["receiver", "sender"],
])("this process is the %s, the remote process", (role, remote) => {
  const words = remoteProgram("tunnel.ts", remote, "idle");
  const options: TunnelOptions = {
    role,
    tool: "0.1.0",
    image: "app:v2",
    connection: { kind: "command", words },
    signal: new AbortController().signal,
    onRemoteLine: (line) => process.stderr.write(`remote: ${line}\n`),
    onDetail: () => {},
  };

  test("is killed: the failure names its signal, and open streams are reset", async () => {
    let outcome: Promise<unknown> = Promise.resolve(cut); // a sender reads nothing
    const error: unknown = await overTunnel(options, async (tunnel, signal) => {
      const pid = await pidOf(tunnel);
      if (role === "receiver") {
        const stream = tunnel.connect("endless");
        outcome = outcomeOf(stream);
        await once(stream, "data");
      }
      process.kill(pid, "SIGKILL");
      await once(signal, "abort");
      throw new Error("a download broke"); // a consequence of the lost link, not the reason
    }).catch((error: unknown) => error);
    expect(error).toMatchObject({
      ...lost,
      message: expect.stringMatching(/lost: `.*tunnel\.ts .* idle` was ended by SIGKILL$/),
    });
    expect(await outcome).toMatchObject(cut);
  });

  test("is stopped: silence is a lost link, and the process is ended", async () => {
    const child = spawnRemote(words, () => {}, { leaveTimeout: 50 });
    const tunnel = await openEnd(child.transport, "initiator", role, 1000);
    const pid = await pidOf(tunnel);
    process.kill(pid, "SIGSTOP");
    const waiting = tunnel.next("anything").catch((error: unknown) => child.explain(error));
    expect(await waiting).toMatchObject({
      ...lost,
      message: expect.stringMatching(/has sent nothing for 1 s.*is still running$/),
    });
    await child[Symbol.asyncDispose]();
    expect(isRunning(pid)).toBe(false);
  });
});

test.each(["destroyed", "ended"])("resets every stream on both sides when the transport is %s", async (how) => {
  const pair = duplexPair();
  const { sender, receiver } = await tunnelPair(pair);
  const served = new Promise<Outcome>((resolve) => {
    sender.listen("talk", (stream) => {
      resolve(outcomeOf(stream));
      stream.write("half of it");
    });
  });
  const stream = receiver.connect("talk");
  const seen = outcomeOf(stream);
  await once(stream, "data");
  if (how === "ended") pair[0].push(null);
  else pair[0].destroy();
  expect([await seen, await served]).toMatchObject([cut, cut]);
  await Promise.all([sender.closed, receiver.closed]);
  expect([sender.signal.reason, receiver.signal.reason]).toMatchObject([lost, lost]);
});

test.each(["detects", "has detected"])(
  "reports a lost link if this side %s that the remote side ended after its hello",
  async (when) => {
    const source = new PassThrough();
    const near = new StdioTransport(source, new PassThrough());
    source.end(`${MAGIC_LINE}${JSON.stringify(hello("sender"))}\n`);
    if (when === "has detected") {
      near.read(0);
      await once(source, "end");
    }
    const tunnel = await openEnd(near, "initiator", "receiver");
    await expect(tunnel.next("anything")).rejects.toMatchObject(lost);
    await tunnel.closed;
  },
);

test("gives up a remote side that sends a hello and nothing more", async () => {
  const [near, remote] = duplexPair();
  const [tunnel] = await Promise.all([
    openEnd(near, "initiator", "sender", 40),
    greet(remote, { origin: "spawned", hello: hello("receiver") }),
  ]);
  await expect(tunnel.next("anything")).rejects.toMatchObject({ ...lost, message: expect.stringContaining("0.04 s") });
});

test("keeps the link of two idle sides alive", async () => {
  const { sender, receiver } = await tunnelPair(duplexPair(), 100);
  const PING_FRAME = 17;
  const before = receiver.bytesReceived;
  await vi.waitFor(() => expect(receiver.bytesReceived - before).toBeGreaterThan(2 * 10 * PING_FRAME), {
    timeout: 10_000,
  });
  expect([sender.signal.aborted, receiver.signal.aborted]).toEqual([false, false]);
  await Promise.all([sender.close(), receiver.close()]);
});

test("counts bytes from the hellos on", async () => {
  const { sender, receiver } = await tunnelPair();
  sender.listen("echo", (stream) => stream.pipe(stream));
  await receiver.connect("echo").end(Buffer.alloc(100_000)).toArray();
  for (const tunnel of [sender, receiver]) {
    expect(tunnel.bytesSent).toBeGreaterThan(100_000);
    expect(tunnel.bytesReceived).toBeGreaterThan(100_000);
    expect(tunnel.bytesReceived).toBeLessThan(102_000);
  }
  expect(sender.peer).toMatchObject({ protocol: PROTOCOL_VERSION, role: "receiver" });
  await Promise.all([sender.close(), receiver.close()]);
});
