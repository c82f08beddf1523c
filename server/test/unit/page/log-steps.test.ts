import { expect, test } from "vitest";
import { LogSteps } from "../../../page/log-steps.ts";

function grouped(lines: readonly string[]): LogSteps["groups"] {
  const steps = new LogSteps();
  for (const line of lines) steps.add(line);
  return steps.groups;
}

test("groups the lines of a step, even if the log mixes steps", () => {
  const groups = grouped([
    "#4 [a 1/2] RUN one",
    "#4 0.100 one",
    "",
    "#5 [b 1/2] RUN two",
    "#5 0.100 two",
    "",
    "#4 [a 1/2] RUN one",
    "#4 12.34 one again",
    "#4 DONE 12.4s",
    "#5 CACHED",
  ]);
  expect(groups).toEqual([
    {
      number: 4,
      name: "[a 1/2] RUN one",
      state: "done",
      took: "12.4s",
      entries: [
        { time: "0.100", text: "one" },
        { time: "12.34", text: "one again" },
      ],
    },
    { number: 5, name: "[b 1/2] RUN two", state: "cached", entries: [{ time: "0.100", text: "two" }] },
  ]);
});

test("shows why a step has failed, and ends the others with the build", () => {
  const steps = new LogSteps();
  for (const line of ["#1 RUN false", "#2 RUN sleep 9", "#3 RUN x", "#3 CANCELED", "#1 ERROR: exit code: 1"])
    steps.add(line);
  steps.end(true);
  expect(steps.groups.map(({ state }) => state)).toEqual(["failed", "cancelled", "cancelled"]);
  expect(steps.groups[0]?.entries).toEqual([{ text: "ERROR: exit code: 1", isError: true }]);
});

test("keeps a failed step failed after more lines", () => {
  const [step] = grouped(["#1 RUN false", "#1 ERROR: exit code: 1", "#1 0.3 late"]);
  expect(step?.state).toBe("failed");
});

test("groups text between steps without a number, including its empty lines", () => {
  const groups = grouped(["fetching", "", "", "done", "", "#1 x", "", "#not a step", "#1x", "end"]);
  expect(groups.map(({ number, entries }) => [number, entries.map(({ text }) => text)])).toEqual([
    [undefined, ["fetching", "", "done"]],
    [1, []],
    [undefined, ["#not a step", "#1x", "end"]],
  ]);
});

test("creates a bounded number of groups for a log with any number of steps, and loses no line", () => {
  const groups = grouped(Array.from({ length: 20_000 }, (_, index) => `#${index} step ${index}`));
  expect(groups.length).toBeLessThanOrEqual(2_001);
  expect(groups.at(-1)?.entries.at(-1)?.text).toBe("#19999 step 19999");
});
