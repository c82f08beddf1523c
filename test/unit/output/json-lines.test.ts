import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { readSchemas } from "../../../scripts/schemas.ts";
import { errorReport, EXIT_STATUS, Failure, type FailureCode } from "../../../src/output/errors.ts";
import { STAGES, type TransferEvent } from "../../../src/output/events.ts";
import { JsonLines } from "../../../src/output/json-lines.ts";
import type { OutputOptions } from "../../../src/output/output.ts";
import { isInSchema } from "./event-schema.ts";

const [eventSchema, ...others] = readSchemas();

test("docs/events.schema.json is generated from the types (`npm run docs` updates it)", () => {
  expect(eventSchema?.shouldBe).toContain('"tunnel-opened"');
  expect(eventSchema?.is).toBe(eventSchema?.shouldBe);
});

test.each(others)("$file is also generated from the types", ({ is, shouldBe }) => expect(is).toBe(shouldBe));

test("docs/events.md has a row for each type of event, and for no other", () => {
  const page = readFileSync(new URL("../../../docs/events.md", import.meta.url), "utf8");
  const rows = [...page.matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, type]) => type);
  const types = [...(eventSchema?.is ?? "").matchAll(/"type": \{\s+"type": "string",\s+"const": "([a-z-]+)"/g)].map(
    ([, type]) => type,
  );
  expect(new Set(rows)).toEqual(new Set(types));
});

test.each(Object.keys(EXIT_STATUS) as FailureCode[])("the schema has the failure %s", (code) =>
  expect(isInSchema({ type: "error", ...errorReport(new Failure(code, "no", { hint: "do" }), "here") })).toBe(true),
);

test.each([
  { type: "detail", code: "from-another-version" },
  { type: "detail", code: "bundle-sent" },
  { type: "progress", stage: "sending", current: "1" },
  { type: "remote", line: "hello", more: true },
])("the schema does not have %j", (event) => expect(isInSchema(event)).toBe(false));

/** The printed lines, and a clock that the test sets. */
function lines(options: Partial<OutputOptions> = {}) {
  const printed: string[] = [];
  const clock = { ms: 0 };
  const all = { quiet: false, verbose: false, progress: true, json: true, ...options };
  const output = new JsonLines(
    all,
    (text) => printed.push(text),
    () => clock.ms,
  );
  return { printed, clock, show: (event: TransferEvent) => output.show(event) };
}

test("prints an event as one line, which cannot control a terminal", () => {
  const { printed, show } = lines();
  const line = "red\u001b[31m \u009b2J \u202e\u2028two\nlines \u{e0001}";
  show({ type: "remote", line, transfer: { host: "ssh://prod" } });
  expect(printed).toEqual([
    '{"type":"remote","line":"red\\u001b[31m \\u009b2J \\u202e\\u2028two\\nlines \\udb40\\udc01","transfer":{"host":"ssh://prod"}}\n',
  ]);
  expect(JSON.parse(printed[0] ?? "")).toEqual({ type: "remote", line, transfer: { host: "ssh://prod" } });
});

describe("progress", () => {
  const update = (current: number, host = "a"): TransferEvent => ({
    type: "progress",
    stage: "sending",
    current,
    transfer: { host },
  });

  test("is printed five times per second for each transfer", () => {
    const { printed, clock, show } = lines();
    for (; clock.ms < 10_000; clock.ms += 10) for (const host of ["a", "b"]) show(update(clock.ms, host));
    expect(printed).toHaveLength(2 * 50);
  });

  test("is printed at once for a new stage, but not more often if every update has another stage", () => {
    const { printed, clock, show } = lines();
    for (const stage of STAGES) show({ type: "progress", stage, current: 0 });
    expect(printed).toHaveLength(STAGES.length);
    for (; clock.ms < 10_000; clock.ms += 10)
      show({ type: "progress", stage: STAGES[(clock.ms / 10) % STAGES.length] ?? "working", current: 0 });
    expect(printed.length).toBeLessThanOrEqual(STAGES.length + 50);
  });
});

const events: Record<string, TransferEvent> = {
  note: { type: "note", code: "waiting-for-reader", path: "pipe" },
  progress: { type: "progress", stage: "sending", current: 0 },
  detail: { type: "detail", code: "export-by-save" },
  warning: { type: "warning", code: "sender-not-notified" },
};

test.each<[Partial<OutputOptions>, string[]]>([
  [{}, ["note", "progress", "warning"]],
  [{ verbose: true }, ["note", "progress", "detail", "warning"]],
  [{ progress: false }, ["note", "warning"]],
  [{ quiet: true }, ["warning"]],
])("with %j, prints %j", (options, types) => {
  const { printed, show } = lines(options);
  for (const event of Object.values(events)) show(event);
  expect(printed.map((line) => (JSON.parse(line) as TransferEvent).type)).toEqual(types);
});

describe("a build", () => {
  const step = { type: "build-step", step: "s", name: "RUN make", started: 1, isCached: false } as const;
  const log = { type: "build-log", step: "s", stream: "stderr", text: "\u001b[31mno", at: 2 } as const;
  const item = { type: "build-progress", step: "s", id: "layer", current: 1, total: 2, started: 1 } as const;
  const built = {
    type: "built",
    names: ["docker.io/library/app:v2"],
    id: "sha256:0123",
    contextBytes: 12,
    ms: { total: 4, context: 1, build: 3 },
  } as const;
  const events: TransferEvent[] = [
    step,
    log,
    item,
    { type: "build-text", text: "Step 1/2" },
    { type: "build-warning", text: "no", details: ["why"], url: "https://docs.docker.com" },
    { type: "build-done", id: "sha256:0123" },
    { type: "build-source", dockerfile: "Dockerfile", lines: [{ number: 1, text: "FROM x", hasFailed: true }] },
    built,
  ];

  test.each(events)("the schema has $type", (event) => expect(isInSchema(event)).toBe(true));

  test("prints all of its events, and only its result with --quiet", () => {
    const [all, quiet] = [lines(), lines({ quiet: true })];
    for (const event of events) [all, quiet].forEach((one) => one.show(event));
    expect(all.printed.map((line) => JSON.parse(line) as unknown)).toEqual(events);
    expect(quiet.printed.map((line) => JSON.parse(line) as unknown)).toEqual([built]);
  });

  test("prints a download at most five times per second, and its completion at once", () => {
    const { show, printed, clock } = lines();
    for (; clock.ms < 1000; clock.ms += 10) show({ ...item, current: clock.ms });
    show({ ...item, completed: 2 });
    expect(printed).toHaveLength(6);
    expect(printed.at(-1)).toContain('"completed":2');
  });
});
