import { expect, test } from "vitest";
import { svg } from "../../../bench/svg.ts";
import { figure, table } from "../../../bench/table.ts";
import type { Row } from "../../../bench/results.ts";

const of = { store: "graphdriver", scenario: "app", link: "100mbit" };
const ROWS: Row[] = [
  {
    ...of,
    peer: "docker-over-ssh",
    ours: true,
    repeats: 3,
    seconds: 1.6,
    toFar: 70e3,
    toNear: 1e4,
    peakNear: 150e6,
    peakFar: 140e6,
  },
  { ...of, peer: "save | zstd", repeats: 1, seconds: 32, toFar: 400e6, toNear: 0 },
  { ...of, peer: "podman image scp", why: "not run" },
];

test.each([
  [0, "0"],
  [0.012345, "0.0123"],
  [9.999, "10"],
  [12.34, "12.3"],
  [1234.5, "1235"],
  [undefined, ""],
])("formats %s as %s", (value, expected) => {
  expect(figure(value)).toBe(expected);
});

test("the table is Markdown with aligned columns; a bar in a name does not end its cell", () => {
  const lines = table(ROWS).split("\n");
  expect(new Set(lines.map((line) => line.length)).size).toBe(1);
  expect(lines[2]).toMatch(
    /\*\*docker-over-ssh\*\* +\| +1\.6 \| +0\.07 \| +0\.01 \| +0\.05 \| +0\.0002 \| +150 \| +140 \| median of 3 +\|$/,
  );
  expect(lines[3]).toContain("| save \\| zstd ");
  expect(lines[4]).toMatch(/not run +\|$/);
});

test("the picture has a bar for each program, scaled to the longest bar of its group; text is escaped", () => {
  const picture = svg("a < b", [{ title: "app & more", rows: ROWS.slice(0, 2) }]);
  expect(picture).toContain('aria-label="a &lt; b"');
  expect(picture).toContain("app &amp; more");
  expect(
    [...picture.matchAll(/<rect class="(\w+)" .*width="([\d.]+)"/g)].map(([, kind, width]) => [kind, width]),
  ).toEqual([
    ["ours", "20.0"],
    ["peer", "400.0"],
  ]);
  expect(picture).toContain("1.6 s · 0.07 MB");
});
