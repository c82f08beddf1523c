/** Silence is counted in ticks without a byte. PROTOCOL.md, 5. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { TICKS_PER_SILENCE } from "../../../src/stdio-tunnel/constants.ts";
import { keepAlive } from "../../../src/stdio-tunnel/keep-alive.ts";

const SILENCE = 20_000;
const TICK = SILENCE / TICKS_PER_SILENCE;
const line = { bytesRead: 0 };
const ping = vi.fn<() => void>();
const onSilence = vi.fn<() => void>();
let stop: () => void;

beforeEach(() => {
  vi.useFakeTimers();
  line.bytesRead = 0;
  stop = keepAlive(line, SILENCE, ping, onSilence);
});
afterEach(() => {
  stop();
  vi.useRealTimers();
  vi.clearAllMocks();
});

test("requests a sign of life at every tick, and gives up once, at the fourth tick without an answer", () => {
  vi.advanceTimersByTime(3 * TICK);
  expect([ping.mock.calls.length, onSilence.mock.calls.length]).toEqual([3, 0]);
  vi.advanceTimersByTime(100 * TICK);
  expect([ping.mock.calls.length, onSilence.mock.calls.length]).toEqual([3, 1]);
});

test("accepts any byte as a sign of life", () => {
  for (let round = 0; round < 10; round++) {
    vi.advanceTimersByTime(3 * TICK);
    line.bytesRead++;
  }
  expect(onSilence).not.toHaveBeenCalled();
});

test("counts one missed tick after the computer was suspended for a night", () => {
  line.bytesRead = 17;
  vi.advanceTimersByTime(TICK);
  vi.setSystemTime(Date.now() + 8 * 3_600_000);
  vi.advanceTimersByTime(3 * TICK);
  expect(onSilence).not.toHaveBeenCalled();
  vi.advanceTimersByTime(TICK);
  expect(onSilence).toHaveBeenCalledOnce();
});

test("counts no tick after the end", () => {
  stop();
  expect(vi.getTimerCount()).toBe(0);
  vi.advanceTimersByTime(100 * TICK);
  expect([ping.mock.calls.length, onSilence.mock.calls.length]).toEqual([0, 0]);
});
