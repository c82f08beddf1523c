import { afterEach, expect, test } from "vitest";
import { buildLog, type BuildLogOptions } from "../../../src/build-log/build-log.ts";
import { findSource } from "../../../src/build-log/find-source.ts";
import type { BuildDisplay, BuildOutputEvent } from "../../../src/output/build-events.ts";
import { columnsOf } from "../../../src/output/text-width.ts";
import { FakeTerminal } from "../output/fake-terminal.ts";
import { scriptedBuild, START } from "./scripted-build.ts";

const displays: BuildDisplay[] = [];
afterEach(() => displays.splice(0).forEach((display) => display.finish("stopped")));

/** A log in a file, and a clock that the test sets. */
function logged(options: Partial<BuildLogOptions> = {}) {
  const seen = { text: "", write: (text: string) => (seen.text += text) };
  const clock = { ms: 5 * START };
  const log = buildLog({ progress: "auto", screen: seen, env: {}, now: () => clock.ms, ...options });
  displays.push(log);
  return { log, seen, clock, at: (ms: number) => (clock.ms = 5 * START + ms) };
}

function drawn(columns: number, rows = 24, env: NodeJS.ProcessEnv = {}) {
  const terminal = new FakeTerminal(columns, rows);
  return { terminal, ...logged({ screen: terminal, env }) };
}

/** Plays the events of a build up to a time. */
function play({ log, at }: Pick<ReturnType<typeof logged>, "log" | "at">, succeeds: boolean, until = Infinity): void {
  for (const [ms, event] of scriptedBuild(succeeds)) {
    if (ms > until) break;
    at(ms);
    log.event(event);
  }
}

const step = (id: string, more: object = {}): BuildOutputEvent => ({
  type: "build-step",
  step: id,
  name: `RUN ${id}`,
  started: START,
  ...more,
});
const print = (id: string, text: string, more: object = {}): BuildOutputEvent => ({
  type: "build-log",
  step: id,
  stream: "stdout",
  text,
  ...more,
});

test("the plain log has numbered steps, times since a step began, and the outcome of each", () => {
  const build = logged();
  play(build, true);
  build.log.finish("built");
  const lines = build.seen.text.split("\n");
  expect(lines.slice(0, 12)).toEqual([
    "#1 [internal] load build definition from Dockerfile",
    "#1 transferring dockerfile: 312 B 0.0s done",
    "#1 DONE 0.0s",
    "",
    "#2 [build 1/4] FROM docker.io/library/node:22@sha256:5f2a",
    expect.stringMatching(/^#2 sha256:\w+ 0 B \/ 28.2 MB$/),
    expect.stringMatching(/^#2 sha256:\w+ 28.2 MB \/ 28.2 MB 0.9s done$/),
    "#2 DONE 1.0s",
    "",
    "#3 [build 2/4] COPY package.json package-lock.json ./",
    "#3 CACHED",
    "",
  ]);
  expect(lines).toContain("#4 0.020 npm http fetch GET 200 https://packages.example.com/package-0");
  expect(lines.slice(-4)).toEqual([
    "",
    "1 warning of the builder:",
    " - JSONArgsRecommended: JSON arguments recommended for CMD (line 9)",
    "",
  ]);
});

test("a failed build repeats the last lines of its step, and shows the lines of the Dockerfile", () => {
  const { log, seen } = logged();
  log.event(step("a"));
  for (let line = 1; line <= 12; line += 1) log.event(print("a", `line ${line}\n`));
  log.event(step("a", { completed: START + 400, error: "exit code: 2" }));
  log.event({ type: "build-source", dockerfile: "Dockerfile", lines: [{ number: 7, text: "RUN a", hasFailed: true }] });
  log.finish("failed");
  expect(seen.text).toContain("#1 ERROR: exit code: 2\n------\n > RUN a:\n(2 earlier lines)\n0.000 line 3\n");
  expect(seen.text).toContain("0.000 line 12\n------\nDockerfile:7\n");
  expect(seen.text).toContain("\n   7 | >>> RUN a\n");
});

test("joins lines for each step and stream, and does not print overwritten text", () => {
  const { log, seen } = logged();
  log.event(step("a"));
  log.event(print("a", "one "));
  log.event(print("a", "error\n", { stream: "stderr" }));
  log.event(print("a", "line\r"));
  log.event(print("a", "\n 10%\r 90%\r"));
  log.event(print("a", "100%\nthe end"));
  log.event(step("a", { completed: START + 5 }));
  expect(seen.text.split("\n").slice(1)).toEqual([
    "#1 0.000 error",
    "#1 0.000 one line",
    "#1 0.000 100%",
    "#1 0.000 the end",
    "#1 DONE 0.0s",
    "",
  ]);
});

test("the lines of parallel steps stay together; a step waits at most one second for a silent step, and five for another one", () => {
  const { log, seen, at } = logged();
  at(0);
  for (const id of ["a", "b"]) log.event(step(id));
  log.event(print("b", "b 1\n"));
  log.event(print("a", "a 1\n"));
  expect(seen.text).not.toContain("b 1");
  at(1500);
  log.event(print("b", "b 2\n"));
  expect(seen.text).toMatch(/a 1\n\n#2 RUN b\n#2 0.000 b 1\n#2 1.500 b 2\n$/);
  log.event(print("a", "a 2\n"));
  for (let ms = 1500; ms < 6400; ms += 100) {
    at(ms);
    log.event(print("b", "more\n"));
  }
  expect(seen.text).not.toContain("a 2");
  at(6600);
  log.event(print("b", "more\n"));
  expect(seen.text).toMatch(/more\n\n#1 RUN a\n#1 1.500 a 2\n$/);
});

test("prints a step that has ended at once and completely", () => {
  const { log, seen } = logged();
  log.event(step("a"));
  log.event(step("b"));
  log.event(print("b", "all of it\n"));
  log.event(step("b", { completed: START + 100 }));
  log.event(print("a", "goes on\n"));
  expect(seen.text).toBe("#1 RUN a\n\n#2 RUN b\n#2 0.000 all of it\n#2 DONE 0.1s\n\n#1 RUN a\n#1 0.000 goes on\n");
});

test("prints a line for a download every five seconds, and one when it is complete", () => {
  const { log, seen, at } = logged();
  log.event(step("a"));
  for (let ms = 0; ms <= 11_000; ms += 100) {
    at(ms);
    log.event({ type: "build-progress", step: "a", id: "layer", current: ms, total: 11_000, started: START });
  }
  const done = { type: "build-progress", step: "a", id: "layer", current: 1, total: 1, completed: START } as const;
  for (let times = 0; times < 3; times += 1) log.event(done);
  expect(seen.text.split("\n").filter((line) => line.includes("layer"))).toHaveLength(4);
});

test.each([
  ["a window title", "\u001b]0;mine\u0007text", "text"],
  ["a cursor that moves", "\u001b[2J\u001b[1;1Htext\u001b[3A", "text"],
  ["a sequence that is made when a colour is removed", "\u001b\u001b[31m[2Jtext", "\u001b[31m[2Jtext\u001b[0m"],
  ["an end of the string that never comes", "text\u001bPq#0;2;0;0;0", "textq#0;2;0;0;0"],
  ["hidden text", "\u001b[8mtext\u001b[38;5;8m grey", "text\u001b[38;5;8m grey\u001b[0m"],
  ["control characters", "te\u0007\u0008\u009bxt", "text"],
  ["characters that change the order of others", "te\u202ext", "text"],
])("a step cannot control the terminal with %s", (_, text, shown) => {
  const file = logged();
  // The test terminal throws an error at an unknown control sequence.
  for (const { log } of [file, logged({ progress: "plain", screen: new FakeTerminal(80) }), drawn(80)]) {
    log.event(step(text));
    log.event(print(text, `${text}\n${text}`));
    log.event({ type: "build-text", text: `${text}\n` });
    log.event({ type: "build-warning", text, details: [text], url: text });
    log.event(step(text, { error: text, completed: START }));
    log.event({ type: "build-source", dockerfile: text, lines: [{ number: 1, text, hasFailed: true }] });
    log.finish("failed");
  }
  expect(file.seen.text).toContain(`#1 0.000 ${shown}\n`);
  expect(file.seen.text.replaceAll(/\u001b\[[\d;]*m/g, "")).not.toMatch(
    /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/,
  );
});

test("NO_COLOR disables colours", () => {
  const { log, seen } = logged({ env: { NO_COLOR: "1" } });
  log.event(step("a"));
  log.event(print("a", "\u001b[32mgreen\u001b[0m\n"));
  expect(seen.text).toContain("#1 0.000 green\n");
});

test("memory stays bounded: of a step that prints without end, only the last lines are stored", () => {
  const { log, seen } = logged({ progress: "quiet" });
  log.event(step("a"));
  for (let line = 0; line < 5_000; line += 1) log.event(print("a", `${line} ${"x".repeat(2_000)}\n`));
  log.event(print("a", "y".repeat(100_000)));
  log.event(step("a", { error: "no", completed: START }));
  log.finish("failed");
  expect(seen.text.length).toBeLessThan(4_200_000);
  expect(seen.text).toMatch(/\(\d{4} earlier lines\)/);
  expect(seen.text).toContain("4999 x");
});

test("the lines of successful steps do not displace those of the step that fails", () => {
  const { log, seen } = logged({ progress: "quiet" });
  for (const id of ["a", "b", "c"]) {
    log.event(step(id));
    for (let line = 0; line < 1_500; line += 1) log.event(print(id, `${line} ${"x".repeat(2_000)}\n`));
    log.event(step(id, { completed: START + 1, ...(id === "c" && { error: "no" }) }));
  }
  log.finish("failed");
  expect(seen.text).toContain("------\n > RUN c:\n0.000 0 x");
});

test("breaks a line without an end", () => {
  const { log, seen } = logged();
  log.event(step("a"));
  log.event(print("a", "y".repeat(20_000)));
  expect(seen.text).toBe(`#1 RUN a\n#1 0.000 ${"y".repeat(16_384)}\n`);
  log.event(print("a", `z\n${"x".repeat(20_000)}\n`));
  expect(seen.text.split("\n").map((line) => line.length)).toEqual([8, 16_393, 3_626, 16_393, 3_625, 0]);
});

test("on a terminal, an incomplete line is the last of six", () => {
  const { log, terminal, at } = drawn(80);
  log.event(step("a"));
  log.event(print("a", "1\n2\n3\n4\n5\n6\n"));
  at(200);
  log.event(print("a", " 50%\r 70%"));
  expect(terminal.lines.slice(2)).toEqual(["2", "3", "4", "5", "6", " 70%"].map((text) => ` => => # ${text}`));
});

test("a terminal that is too narrow for times shows the names", () => {
  const { log, terminal } = drawn(14);
  log.event(step("a"));
  expect(terminal.lines).toEqual(["[+] Building…", " => RUN a"]);
});

test("on a terminal, shows the last six lines of the log of a running step, and one line for an ended step", () => {
  const build = drawn(80);
  play(build, true, 2300);
  const lines = build.terminal.lines.map((line) => line.replaceAll(/\s+/g, " "));
  expect(lines).toEqual([
    expect.stringMatching(/^\[\+\] Building 2\.\ds \(3\/6\)$/),
    " => [internal] load build definition from Dockerfile 0.0s",
    " => [build 1/4] FROM docker.io/library/node:22@sha256:5f2a 1.0s",
    " => CACHED [build 2/4] COPY package.json package-lock.json ./ 0.0s",
    expect.stringMatching(/^ => \[build 3\/4\] RUN npm ci .* 1\.\ds$/),
    ...[6, 7, 8, 9, 10, 11]
      .map((n) => ` => => # npm http fetch GET 200 https://packages.example.com/package-${n}`)
      .slice(0, 6),
    expect.stringMatching(/^ => \[assets 1\/1\] RUN make assets 1\.\ds$/),
    " => => # compiling 写真.png and icons",
    " => => # root@host:~# hidden",
    " => => # 100%",
  ]);
});

test("shows a download below its step while it runs", () => {
  const build = drawn(80);
  play(build, true, 600);
  expect(build.terminal.lines.at(-1)).toMatch(/^ => => sha256:c6a83f.*17 MB \/ 28.2 MB 0\.\ds$/);
});

test.each([5, 20, 40, 80, 200])("no line is wider than a terminal of %i columns", (columns) => {
  for (const until of [100, 600, 1500, 2300, 4000]) {
    const build = drawn(columns, 100);
    play(build, true, until);
    build.log.finish("built");
    const lines = build.terminal.text.replaceAll(/\u001b\[[\d;]*[A-Za-z]/g, "").split(/[\r\n]/);
    const ofSteps = lines.filter((line) => / => |\[\+\]|^ =/.test(line));
    expect(ofSteps).not.toHaveLength(0);
    expect(Math.max(...ofSteps.map(columnsOf))).toBeLessThan(columns);
  }
});

test.each([3, 6, 10])("draws no more than fits in %i rows, and everything at the end", (rows) => {
  const build = drawn(80, rows);
  play(build, true, 2300);
  expect(build.terminal.lines.length).toBeLessThan(rows);
  expect(build.terminal.lines.join("\n")).toContain("[assets 1/1]");
  play(build, true);
  build.log.finish("built");
  expect(build.terminal.lines.filter((line) => line.startsWith(" => "))).toHaveLength(6);
  expect(build.terminal.lines[0]).toMatch(/FINISHED$/);
});

test("the whole log of a failed step stays on the terminal, with its unfinished last line", () => {
  const build = drawn(200);
  play(build, false);
  build.log.finish("failed");
  const text = build.terminal.lines.join("\n");
  expect(text).toContain(" => ERROR [build 4/4] RUN npm run build");
  expect(text).toContain("> tsc && vite build\n");
  expect(text).toContain("npm error Lifecycle script `build` failed\n------");
  expect(text).not.toContain("npm http fetch");
});

test("prints other output above the drawing", () => {
  const build = drawn(80);
  play(build, true, 1500);
  build.log.above(() => build.terminal.write("remote: hello\n"));
  expect(build.terminal.lines[0]).toBe("remote: hello");
  expect(build.terminal.lines[1]).toMatch(/Building/);
});

test("redraws when the terminal becomes narrower", () => {
  const build = drawn(80, 50);
  play(build, true, 2300);
  build.terminal.resize(45);
  expect(build.terminal.lines.filter((line) => line.includes("Building"))).toHaveLength(1);
  expect(build.terminal.lines.every((line) => line.length < 45)).toBe(true);
});

test.each([{ TERM: "dumb" }, { CI: "true" }])("with %j, prints plain lines on a terminal", (env) => {
  const build = drawn(80, 24, env);
  play(build, true, 50);
  expect(build.terminal.lines[0]).toBe("#1 [internal] load build definition from Dockerfile");
});

test("--progress tty needs a terminal", () => {
  expect(() => logged({ progress: "tty" })).toThrow(expect.objectContaining({ code: "usage" }));
});

test("--progress quiet prints nothing if a build succeeds, and the reason if it fails", () => {
  const build = logged({ progress: "quiet" });
  play(build, true);
  build.log.finish("built");
  expect(build.seen.text).toBe("");
  const failed = logged({ progress: "quiet" });
  play(failed, false);
  failed.log.finish("failed");
  expect(failed.seen.text).toMatch(/^------\n > \[build 4\/4\] RUN npm run build:\n/);
});

test("prints the output of a builder without steps line by line", () => {
  const [file, screen] = [logged(), drawn(80)];
  for (const { log } of [file, screen]) {
    for (const text of ["Step 1/2 : FROM ", "scratch\n", " ---> abc"]) log.event({ type: "build-text", text });
    log.finish("built");
  }
  expect(file.seen.text).toBe("Step 1/2 : FROM scratch\n ---> abc\n");
  expect(screen.terminal.lines).toEqual(["Step 1/2 : FROM scratch", " ---> abc"]);
});

test("a step that the builder stopped because another one failed is not a failure", () => {
  const { log, seen } = logged();
  log.event(step("a"));
  log.event(print("a", "text\n"));
  log.event(step("a", { completed: START, error: "context canceled" }));
  log.finish("failed");
  expect(seen.text).toBe("#1 RUN a\n#1 0.000 text\n#1 CANCELED\n");
});

const DOCKERFILE = `# syntax=docker/dockerfile:1
FROM node AS build
run  apt-get update \\
# why
  && apt-get install -y make

RUN make
COPY . .
RUN make
`;

test.each([
  ["dockerfile parse error on line 6: unknown instruction", "", [6]],
  ["failed to solve: Dockerfile:8", "", [8]],
  ["exit code: 100", "[build 2/5] RUN apt-get update   && apt-get install -y make", [3, 4, 5]],
  ["exit code: 2", "[build 4/5] COPY . .", [8]],
])("finds the lines of the Dockerfile from %j %j", (message, name, expected) => {
  const source = findSource({ path: "Dockerfile", text: DOCKERFILE }, message, name);
  expect(source?.lines.filter(({ hasFailed }) => hasFailed).map(({ number }) => number)).toEqual(expected);
});

test.each([
  ["exit code: 2", "[build 3/5] RUN make"],
  ["on line 60", ""],
  ["exit code: 2", "[internal] load metadata"],
])("shows no lines if they are uncertain: %j %j", (message, name) => {
  expect(findSource({ path: "Dockerfile", text: DOCKERFILE }, message, name)).toBeUndefined();
});
