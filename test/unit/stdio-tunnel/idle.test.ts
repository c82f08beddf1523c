/** Two sides that are alive but make no progress. PROTOCOL.md, 5. */
import { once } from "node:events";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { TICKS_PER_SILENCE } from "../../../src/stdio-tunnel/constants.ts";
import { Tunnel } from "../../../src/stdio-tunnel/session.ts";
import { shakeHands, type Role } from "../../../src/stdio-tunnel/handshake.ts";
import { timeoutsFor } from "../../../src/streams/timeouts.ts";
import { hello } from "../../fixtures/remote/open-end.ts";
import { duplexPair } from "./carriers.ts";

const TIMEOUTS = timeoutsFor(31); // 341 ms in total
const KEEP_ALIVE = 60;
/** Bytes of a PING and of its answer (RFC 9113, 6.7). */
const PING = 17;
const TICK = KEEP_ALIVE / TICKS_PER_SILENCE;

beforeEach(() => void vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] }));
afterEach(() => void vi.useRealTimers());

async function tunnels(): Promise<{ sender: Tunnel; receiver: Tunnel }> {
  const [one, other] = duplexPair();
  const open = async (stream: typeof one, origin: "initiator" | "spawned", role: Role, timeouts = TIMEOUTS) =>
    new Tunnel(stream, await shakeHands(stream, { origin, hello: hello(role) }), {
      role,
      silence: KEEP_ALIVE,
      timeouts,
    });
  // One side detects it, and the other side gets the report.
  const [sender, receiver] = await Promise.all([
    open(one, "initiator", "sender", timeoutsFor(60_000)),
    open(other, "spawned", "receiver"),
  ]);
  return { sender, receiver };
}

const ended = async ({ signal }: Tunnel): Promise<unknown> => {
  if (!signal.aborted) await once(signal, "abort");
  return signal.reason;
};

/** Advances the clock by `ms`, or until one side has ended, while both send and answer PINGs. */
async function pass(ms: number, ...ends: Tunnel[]): Promise<void> {
  const isOver = (): boolean => ends.some(({ signal }) => signal.aborted);
  for (let passed = 0; passed < ms && !isOver(); passed += TICK) {
    const before = ends.map(({ bytesReceived }) => bytesReceived);
    const isAwaited = (): boolean =>
      ends.some(({ bytesReceived }, index) => bytesReceived < (before[index] ?? 0) + 2 * PING);
    vi.advanceTimersByTime(TICK);
    while (!isOver() && isAwaited()) await new Promise(setImmediate);
  }
}

test("does not count keep-alive as progress: the side that waits too long reports that to its peer", async () => {
  const { sender, receiver } = await tunnels();
  const stuck = { code: "remote-no-answer", message: expect.stringContaining("nothing has moved") as string };
  await pass(330, sender, receiver);
  expect(receiver.signal.aborted).toBe(false);
  vi.advanceTimersByTime(TICK - 1);
  expect(await Promise.all([ended(sender), ended(receiver)])).toMatchObject([stuck, stuck]);
});

test("counts bytes on a stream, in both directions, and messages as progress", async () => {
  const { sender, receiver } = await tunnels();
  sender.listen("echo", (stream) => stream.pipe(stream));
  const stream = receiver.connect("echo");
  stream.resume();
  for (const move of [
    () => stream.write("x"),
    () => void sender.send({ type: "progress", stage: "saving", current: 1 }),
    () => void receiver.send({ type: "progress", stage: "loading", current: 1 }),
  ]) {
    for (let times = 0; times < 3; times += 1) {
      const moved = new Promise<void>((resolve) => (receiver.onMoved = resolve));
      move();
      await moved;
      await pass(200, sender, receiver);
    }
  }
  expect(receiver.signal.aborted).toBe(false);
  stream.end();
  if (!stream.closed) await once(stream, "close");
  await Promise.all([sender.close(), receiver.close()]);
});

test("requires no progress while a side rests, and restarts the whole time limit afterwards", async () => {
  const { sender, receiver } = await tunnels();
  {
    using _ = receiver.rest();
    await pass(1000, sender, receiver);
    expect(receiver.signal.aborted).toBe(false);
  }
  await pass(330, sender, receiver);
  expect(receiver.signal.aborted).toBe(false);
  await pass(100, sender, receiver);
  expect(await ended(receiver)).toMatchObject({ code: "remote-no-answer" });
});
