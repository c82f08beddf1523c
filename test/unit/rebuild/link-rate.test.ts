import { expect, test, vi } from "vitest";
import { LinkRate } from "../../../src/rebuild/link-rate.ts";

const MB = 1_000_000;
/** A question for which no rate is sufficient. */
const CLOSELY = { enough: Infinity, budget: Infinity };

/**
 * A simulated link with a rate, a delay (ms), and its own clock. `burst` bytes pass immediately, and again after a pause in which the link
 * would have carried them. `pause` ms pass before each probe. `lump` bytes arrive together. During the probes in `busy`, this process is
 * busy for 20 ms, and then finds their bytes in its buffers.
 */
function link({
  perSecond,
  delay = 1,
  burst = 0,
  pause = 0,
  lump = 4096,
  busy = [],
}: Partial<Record<"delay" | "burst" | "pause" | "lump", number>> & { perSecond: number; busy?: number[] }) {
  const clock = { ms: 0, received: 0, left: burst };
  const probes: number[] = [];
  async function* probe(bytes: number): AsyncGenerator<Buffer> {
    const until = busy.includes(probes.push(bytes)) ? clock.ms + pause + 20 : 0;
    clock.left = Math.min(burst, clock.left + (pause * perSecond) / 1000);
    clock.ms += pause;
    let at = clock.ms + delay;
    for (let sent = 0; sent < bytes; sent += lump) {
      const atOnce = Math.min(clock.left, lump);
      clock.left -= atOnce;
      at += ((lump - atOnce) / perSecond) * 1000;
      clock.ms = Math.max(clock.ms, at, until);
      clock.received += lump;
      yield Buffer.alloc(lump);
    }
  }
  const options = { bytesReceived: () => clock.received, probe: async (n: number) => probe(n), now: () => clock.ms };
  return { clock, options, probes };
}

test("probes a link that is clearly too slow only once, and other links until two probes agree", async () => {
  const question = { enough: 20 * MB, budget: MB };
  const slow = link({ perSecond: 12.5 * MB, burst: 125_000 });
  await new LinkRate(slow.options).bytesPerSecond(question);
  expect(slow.probes.reduce((sum, bytes) => sum + bytes)).toBe(320 * 1024);
  const lumpy = link({ perSecond: 12.5 * MB, burst: 125_000, lump: 64 * 1024 });
  await new LinkRate(lumpy.options).bytesPerSecond(question);
  expect(lumpy.probes).toHaveLength(2);
  const close = link({ perSecond: 17 * MB, burst: 125_000 });
  await new LinkRate(close.options).bytesPerSecond(question);
  expect(close.probes).toHaveLength(3);
});

test("recognises a slow link with one probe", async () => {
  const { options, probes } = link({ perSecond: 1.25 * MB });
  expect(await new LinkRate(options).bytesPerSecond(CLOSELY)).toBeCloseTo(1.25 * MB, -6);
  expect(probes).toHaveLength(1);
});

test("ignores a burst at the beginning", async () => {
  const { options } = link({ perSecond: 12.5 * MB, burst: 125_000 });
  expect(await new LinkRate(options).bytesPerSecond(CLOSELY)).toBeCloseTo(12.5 * MB, -6);
});

test("ignores a burst that is allowed again after each pause", async () => {
  const { options, probes } = link({ perSecond: 12.5 * MB, burst: 125_000, pause: 15 });
  const rate = await new LinkRate(options).bytesPerSecond({ enough: 20 * MB, budget: MB });
  expect(rate).toBeGreaterThan(11 * MB);
  expect(rate).toBeLessThan(14 * MB);
  expect(probes).toHaveLength(2);
});

test("does not overestimate the rate of bytes that waited in buffers while the process was busy", async () => {
  const { options } = link({ perSecond: 12.5 * MB, burst: 125_000, busy: [1, 3, 4] });
  expect(await new LinkRate(options).bytesPerSecond(CLOSELY)).toBeLessThan(12.5 * MB);
});

test("uses the fastest probe, and sends no more probes than the question needs", async () => {
  const question = { enough: 50 * MB, budget: MB };
  const fast = link({ perSecond: 100 * MB, busy: [1, 2, 3] });
  expect(await new LinkRate(fast.options).bytesPerSecond(question)).toBeGreaterThan(90 * MB);
  expect(fast.probes).toHaveLength(4);
  const clear = link({ perSecond: 100 * MB });
  await new LinkRate(clear.options).bytesPerSecond(question);
  expect(clear.probes).toHaveLength(2);
  const small = link({ perSecond: 100 * MB });
  await new LinkRate(small.options).bytesPerSecond({ enough: 50 * MB, budget: 100_000 });
  expect(small.probes).toHaveLength(1);
});

test.each([
  ["a fast link", { perSecond: 100 * MB, busy: [1, 2, 3] }, { enough: 50 * MB, budget: MB }],
  ["a slow link", { perSecond: 1.25 * MB }, { enough: 50 * MB, budget: MB }],
  ["a rate near the question", { perSecond: 17 * MB, burst: 125_000 }, { enough: 20 * MB, budget: MB }],
  ["a small budget", { perSecond: 100 * MB }, { enough: 50 * MB, budget: 100_000 }],
])("counts the same bytes for a question alone as after another question: %s", async (_, how, question) => {
  const alone = link(how);
  await new LinkRate(alone.options).bytesPerSecond(question);
  const after = link(how);
  const rate = new LinkRate(after.options);
  expect(await rate.bytesProbedFor(question)).toBe(0);
  await rate.bytesPerSecond(CLOSELY);
  await rate.bytesPerSecond(question);
  expect(await rate.bytesProbedFor(question)).toBe(alone.probes.reduce((sum, bytes) => sum + bytes));
});

test("subtracts the delay", async () => {
  const { options } = link({ perSecond: 50 * MB, delay: 8 });
  expect(await new LinkRate(options).bytesPerSecond(CLOSELY)).toBeGreaterThan(45 * MB);
});

test("answers the same question again without a further probe", async () => {
  const { options, probes } = link({ perSecond: 20 * MB });
  const question = { enough: 21 * MB, budget: MB };
  const rate = new LinkRate(options);
  const [one, two] = await Promise.all([rate.bytesPerSecond(question), rate.bytesPerSecond(question)]);
  expect([two, await rate.bytesPerSecond(question)]).toEqual([one, one]);
  expect(probes).toHaveLength(3);
});

test("uses the rate of the transfer if it is higher, except after a pause", async () => {
  const { clock, options } = link({ perSecond: 1.25 * MB });
  const rate = new LinkRate(options);
  await rate.bytesPerSecond(CLOSELY);
  rate.note();
  for (let step = 0; step < 40; step += 1) {
    clock.ms += 10;
    clock.received += 50_000;
    rate.note();
  }
  expect(await rate.bytesPerSecond(CLOSELY)).toBeCloseTo(5 * MB, -6);
  clock.ms += 5000;
  clock.received += 500 * MB;
  rate.note();
  clock.ms += 110;
  clock.received += 500 * MB; // most of these bytes waited in buffers
  rate.note();
  expect(await rate.bytesPerSecond(CLOSELY)).toBeCloseTo(5 * MB, -6);
});

test("returns at most the rate of --bwlimit", async () => {
  const rate = (limit: number) => new LinkRate({ ...link({ perSecond: 1000 * MB }).options, limit });
  expect(await rate(500_000).bytesPerSecond(CLOSELY)).toBe(500_000);
  expect(await rate(0).bytesPerSecond(CLOSELY)).toBeGreaterThan(100 * MB);
});

test("gives up a probe that stalls, and stops reading an endless probe", async () => {
  vi.useFakeTimers();
  try {
    const none = async (_: number, signal: AbortSignal): Promise<never> =>
      await new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)));
    const rate = new LinkRate({ bytesReceived: () => 0, probe: none }).bytesPerSecond(CLOSELY);
    await vi.advanceTimersByTimeAsync(2000);
    expect(await rate).toBe(1);
  } finally {
    vi.useRealTimers();
  }
  async function* endless(): AsyncGenerator<Buffer> {
    for (;;) yield Buffer.alloc(4096);
  }
  const rate = new LinkRate({ bytesReceived: () => 0, probe: async () => endless() });
  expect(await rate.bytesPerSecond(CLOSELY)).toBeGreaterThan(1);
});
