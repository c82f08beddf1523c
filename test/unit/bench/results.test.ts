import { expect, test } from "vitest";
import { chart } from "../../../bench/chart.ts";
import { tooSlow } from "../../../bench/links.ts";
import { merge, ratios, sorted, type Row } from "../../../bench/results.ts";
import { median } from "../../../bench/statistics.ts";

const row = (peer: string, figures: Partial<Row> = {}): Row => ({
  store: "containerd",
  scenario: "app",
  link: "loopback",
  peer,
  ...figures,
});

test.each([
  [[3], 3],
  [[5, 1, 3], 3],
  [[4, 1, 3, 2], 2.5],
])("the median of %j is %d", (values, expected) => {
  expect(median(values)).toBe(expected);
});

test("compares each program with the best of the other programs, in time and bytes", () => {
  const ours = row("ours", { ours: true, seconds: 2, toFar: 10, toNear: 0 });
  const rows = [
    ours,
    row("slow", { seconds: 8, toFar: 90, toNear: 10 }),
    row("large", { seconds: 4, toFar: 400, toNear: 0 }),
    row("patch", { yardstick: true, toFar: 1 }),
    row("elsewhere", { link: "10mbit", seconds: 1, toFar: 1, toNear: 0 }),
    row("failed", { why: "it broke" }),
  ];
  expect(ratios(ours, rows)).toEqual({ seconds: 0.5, bytes: 0.1 });
  expect(rows.slice(1, 3).map((row) => ratios(row, rows))).toEqual([
    { seconds: 2, bytes: 1 },
    { seconds: 1, bytes: 4 },
  ]);
  expect(ratios(ours, [ours])).toEqual({ seconds: undefined, bytes: undefined });
});

test("a new measurement replaces the older one, in the order of the scenarios", () => {
  const before = [row("ours", { seconds: 2 }), row("ours", { scenario: "cold", seconds: 50 })];
  const now = [row("ours", { seconds: 1 }), row("zstd", { seconds: 30 })];
  expect(sorted(merge(before, now))).toEqual([before[1], ...now]);
});

test("the picture lists the peers of each group in the same order", () => {
  const measured = (scenario: string, ...peers: string[]): Row[] =>
    peers.map((peer) => row(peer, { scenario, link: "100mbit", seconds: 1, toFar: 1e6 }));
  const picture = chart([
    ...measured("nothing", "save | zstd | load", "docker-over-ssh", "docker push, ssh -R, docker pull"),
    ...measured("app", "docker push, ssh -R, docker pull", "save | zstd | load", "docker-over-ssh"),
  ]);
  const order = ["docker-over-ssh", "save | zstd | load", "docker push, ssh -R, docker pull"];
  expect([...(picture ?? "").matchAll(/class="label \w+" [^>]*>([^<]*)</g)].map(([, label]) => label)).toEqual([
    ...order,
    ...order,
  ]);
});

test("skips a slow link if the bytes measured on a faster link would take too long", () => {
  const link = { name: "10mbit", title: "10 Mbit/s", mbit: 10, patience: 240 };
  expect(tooSlow(link, 400e6)).toBe("left out: 400 MB take 320 s at 10 Mbit/s");
  expect(tooSlow(link, 200e6)).toBeUndefined();
  expect(tooSlow(link, undefined)).toBeUndefined();
  expect(tooSlow({ name: "loopback", title: "no limit" }, 1e12)).toBeUndefined();
});
