import { expect, test } from "vitest";
import { JobLog } from "../../../src/worker/job-log.ts";
import { Masks } from "../../../src/worker/masks.ts";

test("ignores a step with endless output once the store has cut the log, and logs how the job ends", () => {
  const lines: string[] = [];
  const log = new JobLog((more) => void lines.push(...more), new Masks(), 1000);
  for (let line = 0; line < 1000; line += 1) log.event({ type: "build-text", text: `line ${line}\n` });
  expect(lines.join("\n").length).toBeGreaterThan(1000);
  expect(lines.length).toBeLessThan(200);
  log.endBuild("failed");
  log.reason({ code: "build-failed", message: "it printed too much" });
  expect(lines.at(-1)).toBe("error: it printed too much");
});
