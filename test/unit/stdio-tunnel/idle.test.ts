/** Two ends that are alive, and of which neither gets on. PROTOCOL.md, 4. */
import { once } from "node:events";
import { expect, test, vi } from "vitest";
import { Tunnel } from "../../../src/stdio-tunnel/session.ts";
import { shakeHands, type Role } from "../../../src/stdio-tunnel/handshake.ts";
import { patienceOf } from "../../../src/streams/patience.ts";
import { hello } from "../../fixtures/far/open-end.ts";
import { duplexPair } from "./carriers.ts";

const PATIENCE = patienceOf(30); // 330 ms in all
const KEEP_ALIVE = 60;

async function tunnels(): Promise<{ sender: Tunnel; receiver: Tunnel }> {
  const [one, other] = duplexPair();
  const open = async (stream: typeof one, end: "spawner" | "spawned", role: Role, patience = PATIENCE) =>
    new Tunnel(stream, await shakeHands(stream, { end, hello: hello(role) }), { role, silence: KEEP_ALIVE, patience });
  // One of them is enough to find out; the other is told.
  const [sender, receiver] = await Promise.all([
    open(one, "spawner", "sender", patienceOf(60_000)),
    open(other, "spawned", "receiver"),
  ]);
  return { sender, receiver };
}

const ended = async ({ signal }: Tunnel): Promise<unknown> => {
  if (!signal.aborted) await once(signal, "abort");
  return signal.reason;
};

test("keep-alive is no progress: the end that waits too long says so to the other", async () => {
  const { sender, receiver } = await tunnels();
  const stuck = { code: "far-no-answer", message: expect.stringContaining("nothing has moved") as string };
  expect(await Promise.all([ended(sender), ended(receiver)])).toMatchObject([stuck, stuck]);
});

test("bytes on a stream are, either way, and so are messages", async () => {
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
      move();
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
  expect(receiver.signal.aborted).toBe(false);
  stream.end();
  await vi.waitFor(() => expect(stream.closed).toBe(true));
  await Promise.all([sender.close(), receiver.close()]);
});
