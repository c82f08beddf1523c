/** Silence is counted in ticks without a byte. PROTOCOL.md, 4. */
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

test("asks for a sign of life at every tick, and gives up once, at the fourth without one", () => {
  vi.advanceTimersByTime(3 * TICK);
  expect([ping.mock.calls.length, onSilence.mock.calls.length]).toEqual([3, 0]);
  vi.advanceTimersByTime(100 * TICK);
  expect([ping.mock.calls.length, onSilence.mock.calls.length]).toEqual([3, 1]);
});

test("any byte is a sign of life", () => {
  for (let round = 0; round < 10; round++) {
    vi.advanceTimersByTime(3 * TICK);
    line.bytesRead++;
  }
  expect(onSilence).not.toHaveBeenCalled();
});

test("a computer that was suspended for a night has missed one tick", () => {
  line.bytesRead = 17;
  vi.advanceTimersByTime(TICK);
  vi.setSystemTime(Date.now() + 8 * 3_600_000);
  vi.advanceTimersByTime(3 * TICK);
  expect(onSilence).not.toHaveBeenCalled();
  vi.advanceTimersByTime(TICK);
  expect(onSilence).toHaveBeenCalledOnce();
});

test("no tick is counted after the end", () => {
  stop();
  expect(vi.getTimerCount()).toBe(0);
  vi.advanceTimersByTime(100 * TICK);
  expect([ping.mock.calls.length, onSilence.mock.calls.length]).toEqual([0, 0]);
});
