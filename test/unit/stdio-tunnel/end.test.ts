/** How a tunnel ends after success and after a failure. PROTOCOL.md, 3 and 6. */
import { execFile } from "node:child_process";
import { PassThrough, Writable } from "node:stream";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Failure } from "../../../src/output/errors.ts";
import { RemoteFailure } from "../../../src/stdio-tunnel/failures.ts";
import { StdioTransport } from "../../../src/stdio-tunnel/transport.ts";
import { hello, openEnd } from "../../fixtures/remote/open-end.ts";
import { outcomeOf } from "../../fixtures/remote/outcome.ts";
import { pseudoRandom } from "../../fixtures/remote/pseudo-random.ts";
import { duplexPair, remoteProgram, tunnelPair } from "./carriers.ts";
import { greet } from "./preamble.ts";

describe("the result", () => {
  test("reaches the sender before the receiver finishes; both then close, without a lost link", async () => {
    const { sender, receiver } = await tunnelPair();
    const order: string[] = [];
    const result = sender.result().then((message) => {
      order.push("sender has the result");
      return message;
    });
    const finished = receiver.finish({ id: "sha256:1" }).then((confirmed) => {
      order.push("receiver is done");
      return confirmed;
    });
    expect(await Promise.all([result, finished])).toEqual([{ type: "result", id: "sha256:1" }, true]);
    await Promise.all([sender.closed, receiver.closed]);
    expect([sender.signal.aborted, receiver.signal.aborted]).toEqual([false, false]);
    expect(order).toContain("sender has the result");
  });

  test("is the last message that a spawned receiver waits for, because an orderly close would cost one more round trip", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }); // so that no time limit ends it
    const [fromReceiver, arriving] = [new PassThrough(), new PassThrough()];
    let isOver = false;
    /** After that, nothing from the sender arrives, not even its end. */
    const fromSender = new Writable({
      write(chunk: Buffer, _, done) {
        if (!isOver) arriving.write(chunk);
        isOver ||= chunk.includes('"received"');
        done();
      },
    });
    const near = new StdioTransport(fromReceiver, fromSender);
    const { sender, receiver } = await tunnelPair([near, new StdioTransport(arriving, fromReceiver)]);
    expect(await Promise.all([sender.result(), receiver.finish({})])).toEqual([{ type: "result" }, true]);
    await receiver.closed;
    vi.useRealTimers();
  });

  test("counts also when the link is lost right after it, before the sender waits for it", async () => {
    const { sender, receiver } = await tunnelPair();
    await receiver.send({ type: "result", id: "sha256:1" });
    await receiver.close();
    await sender.closed;
    expect(sender.signal.aborted).toBe(false);
    expect(await sender.result()).toEqual({ type: "result", id: "sha256:1" });
  });

  test("is unconfirmed when the sender dies; the receiver does not wait", async () => {
    const { sender, receiver } = await tunnelPair();
    sender.on("result", () => void sender.close());
    expect(await receiver.finish({})).toBe(false);
  }, 5_000);

  test("is never received from a receiver that closes without a result", async () => {
    const { sender, receiver } = await tunnelPair();
    const result = sender.result();
    await receiver.close();
    await expect(result).rejects.toMatchObject({ code: "link-lost" });
  });

  test("cannot be sent by the sender", async () => {
    const { sender, receiver } = await tunnelPair();
    await sender.send({ type: "result" });
    await sender.close();
    await receiver.closed;
    expect(receiver.signal.reason).toMatchObject({ code: "link-lost" });
  });
});

describe("a side that fails", () => {
  const failure = new Failure("no-space", "the disk of build-7 is full", {
    expected: "4 GB",
    hint: "docker image prune",
  });

  test.each(["sender", "receiver"] as const)("the %s's failure is sent to the other side", async (role) => {
    const tunnels = await tunnelPair();
    const other = role === "sender" ? tunnels.receiver : tunnels.sender;
    const waiting = other.next("anything").catch((error: unknown) => error);
    expect(await tunnels[role].fail(failure)).toBe(true);
    const received = await waiting;
    expect(received).toBeInstanceOf(RemoteFailure);
    expect(received).toMatchObject({
      code: "no-space",
      message: failure.message,
      expected: "4 GB",
      hint: "docker image prune",
      exitStatus: 11,
    });
    expect(other.signal.reason).toBe(received);
    expect(tunnels[role].signal.aborted).toBe(false);
    await Promise.all([tunnels.sender.closed, tunnels.receiver.closed]);
  });

  test("reports the failure although the tunnel has only just opened", async () => {
    const { sender, receiver } = await tunnelPair();
    await receiver.fail(failure);
    await sender.closed;
    expect(sender.signal.reason).toMatchObject({ code: "no-space" });
  });

  test("reports nothing after the result or a lost link", async () => {
    const done = await tunnelPair();
    await Promise.all([done.sender.result(), done.receiver.finish({})]);
    expect(await done.receiver.fail(failure)).toBe(false);
    const lost = await tunnelPair();
    await lost.sender.close();
    await lost.receiver.closed;
    expect(await lost.receiver.fail(failure)).toBe(false);
  });

  test("detects that its report was not sent when the link is lost in the meantime", async () => {
    const pair = duplexPair();
    const { sender, receiver } = await tunnelPair(pair);
    const told = receiver.fail(failure);
    pair[1].destroy();
    expect(await told).toBe(false);
    await sender.close();
  });

  test.each([
    [
      { code: "toString", message: 5 },
      { code: "transfer-failed", message: "gave up without a reason" },
    ],
    [
      { code: "usage", message: "x".repeat(5000), hint: ["y"] },
      { code: "usage", message: "x".repeat(4000), hint: undefined },
    ],
  ])("cannot choose arbitrary codes and text: %#", async (words, received) => {
    const { sender, receiver } = await tunnelPair();
    await sender.send({ type: "failure", ...words });
    await receiver.closed;
    expect(receiver.signal.reason).toMatchObject(received);
  });
});

describe("close", () => {
  // No test here depends on FAREWELL_TIMEOUT.
  beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout"] }));
  afterEach(() => void vi.useRealTimers());

  test("is idempotent", async () => {
    const { sender, receiver } = await tunnelPair();
    await Promise.all([sender.close(), receiver.close(), sender.close(), receiver[Symbol.asyncDispose]()]);
    await Promise.all([sender.close(), receiver.close()]);
    expect([sender.signal.aborted, receiver.signal.aborted]).toEqual([false, false]);
  });

  test.each(["sender", "receiver"] as const)("by the %s resets open streams, on both sides", async (role) => {
    const tunnels = await tunnelPair();
    const { sender, receiver } = tunnels;
    const served = new Promise((resolve) => {
      sender.listen("endless", (stream) => resolve(outcomeOf(pseudoRandom(1, Infinity).pipe(stream))));
    });
    const stream = receiver.connect("endless");
    const seen = outcomeOf(stream);
    await new Promise((resolve) => stream.once("data", resolve));
    await tunnels[role].close();
    expect(await seen).toMatchObject({ ended: false, failed: true });
    expect(await served).toMatchObject({ ended: false, failed: true });
  });

  test("works after the result, with a stream open on both sides", async () => {
    const { sender, receiver } = await tunnelPair();
    sender.listen("endless", (stream) => pseudoRandom(1, Infinity).pipe(stream));
    const stream = receiver.connect("endless");
    await new Promise((resolve) => stream.once("readable", resolve));
    expect(await Promise.all([sender.result(), receiver.finish({})])).toEqual([{ type: "result" }, true]);
    expect(stream.destroyed).toBe(true);
  });

  test("works with queued data that is never read", async () => {
    const { sender, receiver } = await tunnelPair();
    sender.listen("stuck", (stream) => pseudoRandom(1, Infinity).pipe(stream));
    const stream = receiver.connect("stuck");
    await new Promise((resolve) => stream.once("readable", resolve));
    await sender.close();
    await receiver.closed;
    expect(stream.destroyed && !stream.readableEnded).toBe(true);
  });

  test("ends all later calls", async () => {
    const { sender, receiver } = await tunnelPair();
    const waiting = receiver.next("anything");
    await receiver.close();
    await expect(waiting).rejects.toMatchObject({ code: "link-lost" });
    await expect(receiver.next("anything")).rejects.toMatchObject({ code: "link-lost" });
    expect(() => receiver.connect("echo")).toThrow("closed");
    await receiver.send({ type: "into the void" });
    await sender.close();
  });

  test("rejects waits for a receiver that never connects", async () => {
    const [near, remote] = duplexPair();
    const [sender] = await Promise.all([
      openEnd(near, "spawned", "sender"),
      greet(remote, { hello: hello("receiver") }),
    ]);
    const sending = sender.send({ type: "early" });
    remote.resume().end();
    await sender.close();
    await expect(sending).rejects.toMatchObject({ code: "link-lost" });
  });

  test("leaves no handle that keeps the process alive", async () => {
    const [file = "", ...args] = remoteProgram("leaves-by-itself.ts");
    const { stdout } = await promisify(execFile)(file, args, { timeout: 15_000 });
    expect(stdout).toBe("closed\n");
  });
});
