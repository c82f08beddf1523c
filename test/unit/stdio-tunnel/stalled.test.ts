/** Unread streams, which buffer at most their window, while other streams continue. PROTOCOL.md, 2. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test, vi } from "vitest";
import { STREAM_WINDOW } from "../../../src/stdio-tunnel/constants.ts";
import { pseudoRandom, sha256 } from "../../fixtures/remote/pseudo-random.ts";
import { tunnelPair } from "./carriers.ts";

const BYTES = STREAM_WINDOW * 1.5;

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/** Returns the bytes of live buffers. */
function held(): number {
  collect();
  return process.memoryUsage().arrayBuffers;
}

test.each([1, 8])("buffers at most the windows of %i unread streams to the receiver", async (count) => {
  const { sender, receiver } = await tunnelPair();
  const expected = await sha256(pseudoRandom(1, BYTES));
  const given: number[] = [];
  sender.listen("random", (stream) => {
    const index = given.push(0) - 1;
    const source = pseudoRandom(1, BYTES);
    source.on("data", (chunk: Buffer) => (given[index] = (given[index] ?? 0) + chunk.length));
    source.pipe(stream.resume());
  });
  const before = held();
  const stalled = Array.from({ length: count }, () => receiver.connect("random"));
  await vi.waitFor(
    () => expect(Math.min(...stalled.map((stream) => stream.readableLength))).toBeGreaterThan(STREAM_WINDOW * 0.9),
    {
      timeout: 15_000,
    },
  );
  for (let round = 0; round < 3; round++) expect(await sha256(receiver.connect("random").end())).toBe(expected);
  expect(Math.max(...stalled.map((stream) => stream.readableLength))).toBeLessThanOrEqual(STREAM_WINDOW);
  expect(Math.max(...given.slice(0, count))).toBeLessThan(STREAM_WINDOW + 1_000_000);
  // A separate thread frees garbage-collected buffers a moment later.
  await vi.waitFor(() => expect(held() - before).toBeLessThan(count * STREAM_WINDOW * 2 + 30_000_000), 15_000);
  // When they are read, they are complete.
  expect(await Promise.all(stalled.map((stream) => sha256(stream.end())))).toEqual(stalled.map(() => expected));
  await Promise.all([sender.close(), receiver.close()]);
});

test("buffers at most the window of an unread stream to the sender", async () => {
  const { sender, receiver } = await tunnelPair();
  let taken = 0;
  const source = pseudoRandom(1, BYTES).on("data", (chunk: Buffer) => (taken += chunk.length));
  const stuck = new Promise<{ readableLength: number }>((resolve) => sender.listen("stuck", resolve));
  sender.listen("sha256", (stream) => void sha256(stream).then((digest) => stream.end(digest)));
  source.pipe(receiver.connect("stuck"));
  const unread = await stuck;
  await vi.waitFor(() => expect(unread.readableLength).toBeGreaterThan(STREAM_WINDOW * 0.9), { timeout: 15_000 });
  const answer = await pseudoRandom(1, BYTES).pipe(receiver.connect("sha256")).toArray();
  expect(String(Buffer.concat(answer))).toBe(await sha256(pseudoRandom(1, BYTES)));
  expect(unread.readableLength).toBeLessThanOrEqual(STREAM_WINDOW);
  expect(taken).toBeLessThan(STREAM_WINDOW + 1_000_000);
  await Promise.all([sender.close(), receiver.close()]);
});
