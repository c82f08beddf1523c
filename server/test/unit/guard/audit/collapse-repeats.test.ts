import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { AuditEntry } from "../../../../src/guard/audit/entry.ts";
import { collapseRepeats } from "../../../../src/guard/audit/collapse-repeats.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const entry = (tenant: string, rule: string): AuditEntry => ({
  time: "2026-11-30T12:00:00.000Z",
  tenant,
  call: "GET /_ping",
  decision: "refused",
  rule,
  received: 1,
  sent: 2,
  ms: 0,
});

test("writes one line each second for a flood of one tenant, with its number, and hides no other line", () => {
  const written: AuditEntry[] = [];
  const gathered = collapseRepeats((line) => written.push(line));
  for (let count = 0; count < 1000; count++) gathered.write(entry("a", "quota.requests"));
  gathered.write(entry("a", "image.list"));
  gathered.write(entry("b", "quota.requests"));
  expect(written.map(({ tenant, rule }) => `${tenant} ${rule}`)).toEqual([
    "a quota.requests",
    "a image.list",
    "b quota.requests",
  ]);
  vi.advanceTimersByTime(1000);
  expect(written.slice(3)).toMatchObject([{ tenant: "a", count: 999, received: 999, sent: 1998 }]);
  gathered.write(entry("a", "quota.requests"));
  expect(written).toHaveLength(4);
  gathered[Symbol.dispose]();
  expect(written).toHaveLength(5);
  vi.advanceTimersByTime(10_000);
  expect(written).toHaveLength(5);
});
