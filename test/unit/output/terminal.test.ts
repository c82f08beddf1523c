import { describe, expect, test } from "vitest";
import type { BuildDisplay } from "../../../src/output/build-events.ts";
import { errorReport, Failure } from "../../../src/output/errors.ts";
import { STAGES } from "../../../src/output/events.ts";
import type { OutputOptions } from "../../../src/output/output.ts";
import { Terminal } from "../../../src/output/terminal.ts";

/** A terminal or a log that records its output, and a clock that the test sets. */
function screen(isTTY: boolean, options: Partial<OutputOptions> = {}) {
  const seen = { text: "", isTTY, columns: 60, write: (text: string) => (seen.text += text) };
  const clock = { ms: 0 };
  const output = new Terminal({ quiet: false, verbose: false, progress: true, ...options }, seen, () => clock.ms);
  return { output, seen, clock };
}

/** The sequence that clears a line. */
const CLEAR = "\r\u001b[K\u001b[C\u001b[J\r";

const MB = 1_000_000;

describe("progress", () => {
  test("is one line that is overwritten on a terminal, with bytes, rate and remaining time", () => {
    const { output, seen, clock } = screen(true);
    output.progress({ stage: "sending", current: 0, total: 100 * MB, layers: { done: 0, total: 5 } });
    clock.ms = 2000;
    output.progress({ stage: "sending", current: 20 * MB, total: 100 * MB, layers: { done: 1, total: 5 } });
    expect(seen.text).not.toContain("\n");
    expect(seen.text.split(CLEAR).at(-1)).toBe("sending  20%  20 of 100 MB  10 MB/s  eta 8.0 s");
  });

  test("fits the terminal's width", () => {
    const { output, seen } = screen(true);
    seen.columns = 20;
    output.progress({ stage: "opening-address", current: 0 });
    expect(seen.text.split(CLEAR).at(-1)).toBe("opening a public ad");
  });

  test("is an occasional line in a log, and a line at once for a new stage", () => {
    const { output, seen, clock } = screen(false);
    for (const ms of [0, 100, 2900, 3000, 3100]) {
      clock.ms = ms;
      output.progress({ stage: "preparing", current: ms * 1000 });
    }
    output.progress({ stage: "sending", current: 0 });
    expect(seen.text.split("\n")).toEqual([
      "preparing",
      expect.stringMatching(/^preparing {2}3 MB {2}1 MB\/s/),
      "sending",
      "",
    ]);
  });

  test("is not drawn more often if every update has another stage", () => {
    for (const [isTTY, every] of [
      [false, 3000],
      [true, 100],
    ] as const) {
      const { output, seen, clock } = screen(isTTY);
      for (; clock.ms < 30_000; clock.ms += 10) {
        output.progress({ stage: STAGES[(clock.ms / 10) % STAGES.length] ?? "working", current: 0 });
      }
      expect(seen.text.split(isTTY ? CLEAR : "\n").length).toBeLessThan(20 + 30_000 / every);
    }
  });

  test("is drawn on a terminal of unknown size", () => {
    const { output, seen } = screen(true);
    seen.columns = 0;
    output.progress({ stage: "sending", current: 0 });
    expect(seen.text).toBe(`${CLEAR}sending`);
  });

  test.each([{ quiet: true }, { progress: false }])("is not shown with %j", (options) => {
    const { output, seen } = screen(true, options);
    output.progress({ stage: "sending", current: 1 });
    expect(seen.text).toBe("");
  });
});

describe("during a login, which may ask for a password on the terminal", () => {
  const login = { type: "detail", code: "command-started", command: "ssh prod" } as const;
  const ends = [
    { type: "detail", code: "command-answered" },
    { type: "detail", code: "tunnel-opened", peerVersion: "1.0.0" },
  ] as const;

  test.each(ends)("removes the progress line, and draws it again after $code", (end) => {
    for (const verbose of [false, true]) {
      const { output, seen, clock } = screen(true, { verbose });
      output.progress({ stage: "reading-archive", current: 0 });
      seen.text = "";
      output.show(login);
      expect(seen.text.startsWith(CLEAR)).toBe(true);
      seen.text = "";
      for (; clock.ms < 1000; clock.ms += 100) output.progress({ stage: "reading-archive", current: clock.ms });
      expect(seen.text).toBe("");
      output.show(end);
      output.progress({ stage: "reading-archive", current: MB });
      expect(seen.text).toContain(`${CLEAR}reading the archive  1 MB`);
    }
  });

  test("continues in a log, where no question is printed", () => {
    const { output, seen } = screen(false);
    output.show(login);
    output.progress({ stage: "reading-archive", current: 0 });
    expect(seen.text).toBe("reading the archive\n");
  });
});

describe("lines", () => {
  test("are printed above the progress line, which is redrawn below", () => {
    const { output, seen } = screen(true);
    output.progress({ stage: "sending", current: 0 });
    output.remote("hello");
    expect(seen.text).toBe(`${CLEAR}sending${CLEAR}remote: hello\n${CLEAR}sending`);
  });

  test("of the remote side cannot control the terminal", () => {
    const { output, seen } = screen(false);
    output.remote("\u001b[31mred\u001b[0m \u001b]0;title\u0007\u001b[2Jgone\u0008\u009b1A tab\there");
    expect(seen.text).toBe("remote: red gone1A tab\there\n");
  });

  const speaksAsUs = "no\npushed app:v1: 1 kB sent\r\ndocker-over-ssh: all is well\u2028pushed app:v1";

  test("of the remote side never look like those of this side: neither the second line of a text, nor a line after a gap", () => {
    const { output, seen } = screen(false, { verbose: true });
    output.remote(speaksAsUs);
    output.detail(speaksAsUs);
    output.warn(speaksAsUs);
    output.failure(errorReport(new Failure("refused", speaksAsUs), "here"));
    const text = { expected: speaksAsUs, hint: speaksAsUs };
    output.failure(errorReport(new Failure("refused", `${speaksAsUs}${" ".repeat(70)}pushed app:v2`, text), "remote"));
    const own = /^(?: {2}\| |remote: |docker-over-ssh: (?!all)| {2}expected: | {2}to do: {4}|no pushed)/;
    expect(seen.text.split("\n").filter((line) => line !== "" && !own.test(line))).toEqual([]);
    expect(seen.text).toContain(
      "docker-over-ssh: the remote side failed: no pushed app:v1: 1 kB sent docker-over-ssh: all",
    );
    expect(seen.text).not.toMatch(/ {5}p/);
  });

  test("of the remote side are printed in the order in which they are written", () => {
    const { output, seen } = screen(false);
    output.remote("a\u202eb\u2066c\u200fd\u061ce\u200bf\ufeffg\u{e0041}h");
    expect(seen.text).toBe("remote: abcdefgh\n");
  });

  test("for --verbose are not shown without it", () => {
    const [quiet, verbose] = [screen(false), screen(false, { verbose: true })];
    verbose.clock.ms = 1234;
    for (const { output } of [quiet, verbose]) output.detail("the registry answers");
    expect(quiet.seen.text).toBe("");
    expect(verbose.seen.text).toBe("docker-over-ssh: 1.23 s: the registry answers\n");
  });

  test("with errors are shown with --quiet, and summaries are not", () => {
    const { output, seen } = screen(false, { quiet: true });
    output.summary("pushed app");
    output.failure(
      errorReport(new Failure("no-space", "no space left", { expected: "room", hint: "make some" }), "here"),
    );
    expect(seen.text).toBe("docker-over-ssh: no space left\n  expected: room\n  to do:    make some\n");
  });

  test("show which side has failed", () => {
    const { output, seen } = screen(false);
    output.failure(errorReport(new Failure("no-space", "no space left"), "remote"));
    expect(seen.text).toBe("docker-over-ssh: the remote side failed: no space left\n");
  });
});

test("of a command that does not end by itself repeat failures, and nothing is collected for its end", () => {
  const seen = { text: "", isTTY: false, columns: 60, write: (text: string) => (seen.text += text) };
  const terminal = new Terminal({ quiet: false, verbose: false, progress: true, isEndless: true }, seen);
  const report = errorReport(new Failure("no-space", "the disk is full"), "remote");
  for (const _ of [1, 2]) terminal.show({ type: "error", transfer: { image: "app:dev" }, ...report });
  terminal.outcomes();
  const line = "docker-over-ssh: the remote side failed: the disk is full\n";
  expect(seen.text).toBe(line + line);
});

describe("a build", () => {
  function building() {
    const told: string[] = [];
    const buildDisplay: BuildDisplay = {
      event: ({ type }) => told.push(type),
      above: (print) => {
        told.push("above");
        print();
      },
      finish: (outcome) => told.push(outcome),
    };
    const screen = { isTTY: false, write: (text: string) => told.push(text) };
    const output = new Terminal({ quiet: false, verbose: false, progress: true, buildDisplay }, screen);
    return { output, told };
  }

  test("is shown by its display, which prints other lines above itself", () => {
    const { output, told } = building();
    output.show({ type: "build-text", text: "Step 1/2" });
    output.show({ type: "remote", line: "hello" });
    expect(told).toEqual(["build-text", "above", "remote: hello\n"]);
  });

  test("replaces the progress of its context, and restores it for the stages after the build", () => {
    const { output, told } = building();
    output.show({ type: "progress", stage: "sending", current: 1_000_000 });
    output.show({ type: "build-text", text: "Step 1/2" });
    output.show({ type: "progress", stage: "preparing", current: 1 });
    output.show({ type: "build-done", id: "sha256:0123" });
    output.show({ type: "build-text", text: "late" });
    output.show({ type: "progress", stage: "loading", current: 1 });
    output.close();
    expect(told).toEqual(["sending  1 MB\n", "build-text", "built", "loading  1 B\n", "stopped"]);
  });

  test("that only checks prints a line if it has found nothing, because a failure is printed otherwise", () => {
    const { output, told } = building();
    output.show({ type: "dockerfile-checked", text: "WARNING: x", count: 1 });
    output.show({ type: "dockerfile-checked", text: "", count: 0, error: "x" });
    expect(told).toEqual([]);
    output.show({ type: "dockerfile-checked", text: "", count: 0 });
    expect(told).toEqual(["above", "the Dockerfile has no warnings\n"]);
  });

  test("ends with its result, which names phases and sizes", () => {
    const { output, told } = building();
    output.show({
      type: "built",
      names: ["app:v2"],
      id: `sha256:${"0123456789ab".repeat(5)}0123`,
      size: 52_400_000,
      contextBytes: 120_000,
      ms: { total: 16_000, context: 400, build: 10_000, push: 3_000, load: 2_000 },
    });
    expect(told).toEqual([
      "built",
      "above",
      "built app:v2 (0123456789ab), 52.4 MB: 120 kB of context sent in 0.4 s, built in 10 s, pushed in 3.0 s, brought back in 2.0 s; 16 s in all\n",
    ]);
  });

  test.each([
    ["failed", "failed"],
    [undefined, "stopped"],
  ] as const)("that tells no result has %s", (given, outcome) => {
    const { output, told } = building();
    output.close(given);
    expect(told).toEqual([outcome]);
  });
});
