/** Progress as it is seen: on terminals of several widths, and in a log. */
import { describe, expect, test } from "vitest";
import type { Progress, TransferEvent, TransferName } from "../../../src/output/events.ts";
import { ProgressDisplay } from "../../../src/output/progress-display.ts";
import { Terminal } from "../../../src/output/terminal.ts";
import { FakeTerminal } from "./fake-terminal.ts";

const MB = 1_000_000;
const app = { image: "app:v2" };
const OPTIONS = { quiet: false, verbose: false, progress: true };

const beginning: Progress = { stage: "sending", current: 0, total: 100 * MB, layers: { done: 0, total: 5 } };
const half: Progress = {
  stage: "sending",
  current: 50 * MB,
  total: 100 * MB,
  saved: 20 * MB,
  layers: { done: 3, total: 5 },
  perLayer: [
    { id: "0123456789ab", current: 6 * MB, total: 12 * MB },
    { id: "ba9876543210", current: 9 * MB, total: 10 * MB, isByDelta: true },
  ],
};

/** A terminal on which a transfer has sent 30 MB in 3 s. */
function halfway(columns: number, rows = 24) {
  const seen = new FakeTerminal(columns, rows);
  const clock = { ms: 0 };
  const output = new Terminal(OPTIONS, seen, () => clock.ms, "xterm");
  const show = (progress: Progress, transfer: TransferName = app) =>
    output.show({ type: "progress", ...progress, transfer });
  show(beginning);
  clock.ms = 3000;
  show(half);
  return { seen, clock, output, show };
}

describe("on a terminal", () => {
  test.each<[number, string[]]>([
    [
      200,
      [
        "app:v2  sending  [===================>                    ]  50%  50 of 100 MB  10 MB/s  eta 5.0 s  20 MB saved  3 of 5 layers",
        "  0123456789ab  [==========>           ]  6 of 12 MB",
        "  ba9876543210  [==================>   ]  9 of 10 MB  by delta",
      ],
    ],
    [
      80,
      [
        "sending  [=======>        ]  50%  50 of 100 MB  10 MB/s  eta 5.0 s  20 MB saved",
        "  0123456789ab  [==========>           ]  6 of 12 MB",
        "  ba9876543210  [==================>   ]  9 of 10 MB  by delta",
      ],
    ],
    [
      40,
      ["sending  50%  50 of 100 MB  eta 5.0 s", "  0123456789ab  6 of 12 MB", "  ba9876543210  9 of 10 MB  by delta"],
    ],
  ])("of %i columns, shows the fields that fit, and no line wraps", (columns, lines) => {
    const { seen } = halfway(columns);
    expect(seen.lines).toEqual(lines);
  });

  test("of few rows, shows no layers", () => {
    expect(halfway(80, 3).seen.lines).toHaveLength(1);
  });

  test("marks a total that is not known yet", () => {
    const { seen, show, clock } = halfway(200);
    clock.ms += 200;
    show({ ...half, isEstimated: true, perLayer: [] });
    expect(seen.lines[0]).toContain("~50%  50 of ~100 MB");
    expect(seen.lines[0]).toContain("eta ~");
  });

  test("prints lines of the remote side above it", () => {
    const { seen, output } = halfway(80);
    const before = seen.lines;
    output.show({ type: "remote", line: "one" });
    const long = "two ".repeat(30).trim();
    output.show({ type: "remote", line: long });
    expect(seen.lines.slice(-before.length)).toEqual(before);
    expect(seen.lines.slice(0, -before.length).join("")).toBe(`remote: oneremote: ${long}`);
  });

  test.each([30, 50, 120])("whose width becomes %i columns, is redrawn, and leaves nothing behind", (columns) => {
    const { seen, output } = halfway(80);
    output.show({ type: "remote", line: "one" });
    seen.resize(columns);
    expect(seen.lines).toEqual(["remote: one", ...halfway(columns).seen.lines]);
  });

  test("shows a line for each transfer, and moves the result of a finished transfer above the others", () => {
    const { seen, output, show } = halfway(80);
    show(beginning, { image: "db:v1", host: "ssh://b" });
    expect(seen.lines).toHaveLength(4);
    expect(seen.lines.filter((line) => !line.startsWith(" "))).toEqual([
      "app:v2         sending  [=====>       ]  50%   50 of 100 MB  10 MB/s  eta 5.0 s",
      "db:v1 ssh://b  sending  [             ]   0%  0 B of 100 MB",
    ]);
    const error = {
      type: "error",
      code: "refused",
      exitStatus: 13,
      side: "here",
      message: "no",
      transfer: app,
    } as const;
    output.show(error satisfies TransferEvent);
    expect(seen.lines).toEqual(["docker-over-ssh: no", expect.stringMatching(/^db:v1/)]);
  });

  test.each<[number, string[]]>([
    [
      100,
      [
        "ssh://deploy@web-1.example.com  sending  [======>       ]  50%   50 of 100 MB  15.6 MB/s  eta 3.2 s",
        "ssh://db                        loading  [              ]   0%  0 B of 100 MB",
      ],
    ],
    [
      70,
      [
        "…ploy@web-1.example.com  sending  50%   50 of 100 MB  eta 3.2 s",
        "ssh://db                 loading   0%  0 B of 100 MB",
      ],
    ],
    [40, ["….example.com  sending  50%", "ssh://db       loading   0%"]],
  ])(
    "of %i columns, the parts of several hosts' lines are below each other, without the image that all of them get",
    (columns, lines) => {
      const seen = new FakeTerminal(columns);
      const clock = { ms: 0 };
      const output = new Terminal(OPTIONS, seen, () => clock.ms, "xterm");
      const show = (progress: Progress, host: string) =>
        output.show({ type: "progress", ...progress, transfer: { ...app, host } });
      const { perLayer: _, saved: __, layers: ___, ...plain } = half;
      show({ ...plain, current: 0 }, "ssh://deploy@web-1.example.com");
      clock.ms = 3000;
      show(plain, "ssh://deploy@web-1.example.com");
      clock.ms += 200;
      show({ ...plain, stage: "loading", current: 0 }, "ssh://db");
      expect(seen.lines).toEqual(lines);
    },
  );

  test("shows the transfers that fit if there are more than rows", () => {
    const { seen, clock, show } = halfway(80, 5);
    for (let count = 1; count < 10; count++) {
      clock.ms += 200;
      show(beginning, { image: `app${count}` });
    }
    expect(seen.lines).toHaveLength(5);
    expect(seen.lines.at(-1)).toBe("and 6 more");
  });

  test("writes only lines, carriage returns and clear sequences, and no colours, whatever NO_COLOR is", () => {
    expect(halfway(80).seen.text).not.toMatch(/\u001b\[[\d;]*m/);
  });
});

test.each([
  ["elsewhere", false, "xterm"],
  ["with TERM=dumb", true, "dumb"],
])("%s, prints a line every 3 s, with the percentage and without control characters", (_, isTTY, term) => {
  const seen = { text: "", isTTY, write: (text: string) => (seen.text += text) };
  const clock = { ms: 0 };
  const output = new Terminal(OPTIONS, seen, () => clock.ms, term);
  for (; clock.ms <= 6500; clock.ms += 100) {
    output.show({ type: "progress", stage: "sending", current: clock.ms * 10_000, total: 100 * MB, transfer: app });
  }
  expect(seen.text.split("\n")).toEqual([
    "sending  0%  0 B of 100 MB",
    "sending  30%  30 of 100 MB  10 MB/s  eta 7.0 s",
    "sending  60%  60 of 100 MB  10 MB/s  eta 4.0 s",
    "",
  ]);
});

test("the lines of several transfers in a log name the transfer", () => {
  const seen = { text: "", write: (text: string) => (seen.text += text) };
  const output = new Terminal({ ...OPTIONS, namesHosts: true }, seen, () => 0, undefined);
  for (const host of ["ssh://a", "ssh://b"])
    output.show({ type: "progress", stage: "loading", current: 0, transfer: { ...app, host } });
  expect(seen.text).toBe("ssh://a: loading\nssh://b: loading\n");
});

test.each([
  [true, "app:v2  loading  for 15 s"],
  [false, "loading  for 15 s"],
])("shows the elapsed time of an engine that loads and reports nothing (terminal: %j)", (isTTY, line) => {
  const seen = new FakeTerminal(80);
  const clock = { ms: 0 };
  const screen = isTTY ? seen : { write: (text: string) => seen.write(text) };
  const display = new ProgressDisplay(screen, () => clock.ms, "xterm");
  display.update({ stage: "loading", current: 0 }, app);
  clock.ms = 14_990;
  display.tick();
  const before = seen.lines.length;
  clock.ms = 15_000;
  display.tick();
  clock.ms += 100;
  display.tick();
  expect(seen.lines.at(-1)).toBe(line);
  expect(seen.lines).toHaveLength(isTTY ? before : before + 1);
  display.close();
});

test("a watch that has lost its link shows no progress of that host, and continues with that of other hosts, whatever the state of its login", () => {
  const seen = new FakeTerminal(80);
  const output = new Terminal({ ...OPTIONS, namesHosts: true, isEndless: true }, seen, () => 0, "xterm");
  const [a, b] = [{ host: "ssh://a" }, { host: "ssh://b" }];
  output.show({ type: "progress", ...half, transfer: { image: "app:dev", ...a } });
  output.show({ type: "detail", code: "command-started", command: "ssh a", transfer: a });
  output.show({ type: "note", code: "connecting-in", seconds: 30, error: "no route to host", transfer: a });
  output.show({ type: "progress", ...beginning, transfer: { image: "app:dev", ...b } });
  const progress = seen.lines.slice(1).join("\n");
  expect(progress).toContain("0 B of 100 MB");
  expect(progress).not.toContain("50%");
  output.close();
});
