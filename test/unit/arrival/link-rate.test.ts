import { expect, test, vi } from "vitest";
import { LinkRate } from "../../../src/arrival/link-rate.ts";
import { PROBE_BYTES } from "../../../src/registry/embedded/probe-link.ts";

/** A link that carries so many bytes a ms, with its own clock; the first `held` ms of a probe the processor is busy with something else. */
function link({ perMs, held = [] }: { perMs: number; held?: number[] }) {
  const clock = { ms: 0, received: 0, probes: 0 };
  async function* probe(): AsyncGenerator<Buffer> {
    const late = held[clock.probes] ?? 0;
    clock.probes += 1;
    for (let sent = 0; sent < PROBE_BYTES; sent += 4096) {
      yield Buffer.alloc(4096);
      clock.ms += 4096 / perMs + late / (PROBE_BYTES / 4096);
      clock.received += 4096;
    }
  }
  const options = { bytesReceived: () => clock.received, probe: async () => probe(), now: () => clock.ms };
  return { clock, options };
}

test("a slow link is told by one probe, a fast one by the best of three, for one may be told late", async () => {
  const slow = link({ perMs: 1250 });
  expect(await new LinkRate(slow.options).bytesPerSecond()).toBeCloseTo(1_250_000, -6);
  expect(slow.clock.probes).toBe(1);
  const fast = link({ perMs: 100_000, held: [20, 0, 20] });
  expect(await new LinkRate(fast.options).bytesPerSecond()).toBeGreaterThan(90_000_000);
  expect(fast.clock.probes).toBe(3);
});

test("it is probed once, and not where somebody asks again", async () => {
  const { clock, options } = link({ perMs: 1250 });
  const rate = new LinkRate(options);
  await Promise.all([rate.bytesPerSecond(), rate.bytesPerSecond()]);
  await rate.bytesPerSecond();
  expect(clock.probes).toBe(1);
});

test("what has come faster than a probe counts, but not what came after a pause", async () => {
  const { clock, options } = link({ perMs: 1250 });
  const rate = new LinkRate(options);
  await rate.bytesPerSecond();
  rate.note();
  for (let step = 0; step < 25; step += 1) {
    clock.ms += 10;
    clock.received += 50_000;
    rate.note();
  }
  expect(await rate.bytesPerSecond()).toBeCloseTo(5_000_000, -6);
  clock.ms += 5000;
  clock.received += 500_000_000;
  rate.note();
  expect(await rate.bytesPerSecond()).toBeCloseTo(5_000_000, -6);
});

test("it is no faster than this side was told to take", async () => {
  expect(await new LinkRate({ ...link({ perMs: 1e6 }).options, limit: 500_000 }).bytesPerSecond()).toBe(500_000);
  expect(await new LinkRate({ ...link({ perMs: 1250 }).options, limit: 0 }).bytesPerSecond()).toBeGreaterThan(1e6);
});

test("a probe that does not come, or has no end, is not waited for", async () => {
  vi.useFakeTimers();
  try {
    const none = async (signal: AbortSignal): Promise<never> =>
      await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)));
    const rate = new LinkRate({ bytesReceived: () => 0, probe: none }).bytesPerSecond();
    await vi.advanceTimersByTimeAsync(2000);
    expect(await rate).toBe(1);
  } finally {
    vi.useRealTimers();
  }
  async function* endless(): AsyncGenerator<Buffer> {
    for (;;) yield Buffer.alloc(4096);
  }
  const rate = new LinkRate({ bytesReceived: () => 0, probe: async () => endless() });
  expect(await rate.bytesPerSecond()).toBeGreaterThan(1);
});
