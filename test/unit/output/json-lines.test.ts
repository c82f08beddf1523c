import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { readSchemas } from "../../../scripts/schemas.ts";
import { errorReport, EXIT_STATUS, Failure, type FailureCode } from "../../../src/output/errors.ts";
import { STAGES, type TransferEvent } from "../../../src/output/events.ts";
import { JsonLines } from "../../../src/output/json-lines.ts";
import type { OutputOptions } from "../../../src/output/output.ts";
import { isInSchema } from "./event-schema.ts";

const [eventSchema, ...others] = readSchemas();

test("docs/events.schema.json is made of the types; `npm run docs` brings it up to date", () => {
  expect(eventSchema?.shouldBe).toContain('"tunnel-opened"');
  expect(eventSchema?.is).toBe(eventSchema?.shouldBe);
});

test.each(others)("$file is as well", ({ is, shouldBe }) => expect(is).toBe(shouldBe));

test("docs/events.md has a row for each type of event, and for no other", () => {
  const page = readFileSync(new URL("../../../docs/events.md", import.meta.url), "utf8");
  const rows = [...page.matchAll(/^\| `([a-z]+)` \|/gm)].map(([, type]) => type);
  const types = [...(eventSchema?.is ?? "").matchAll(/"type": \{\s+"type": "string",\s+"const": "([a-z]+)"/g)].map(
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

/** Lines that were printed, and a clock that is turned by hand. */
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

test("an event is one line, which cannot steer a terminal that shows it", () => {
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

  test("comes five times a second for each transfer", () => {
    const { printed, clock, show } = lines();
    for (; clock.ms < 10_000; clock.ms += 10) for (const host of ["a", "b"]) show(update(clock.ms, host));
    expect(printed).toHaveLength(2 * 50);
  });

  test("comes at once for a new stage, and no more often when every update has another one", () => {
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
])("with %j it has %j", (options, types) => {
  const { printed, show } = lines(options);
  for (const event of Object.values(events)) show(event);
  expect(printed.map((line) => (JSON.parse(line) as TransferEvent).type)).toEqual(types);
});
