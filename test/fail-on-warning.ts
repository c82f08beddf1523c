/** A warning of Node's (a leak of listeners, something deprecated) fails the file in which it appears. */
import { afterAll } from "vitest";

const warnings: string[] = [];
process.on("warning", (warning) => {
  // Of Node itself, not of ours, while these features are young.
  if (warning.name !== "ExperimentalWarning") warnings.push(warning.stack ?? warning.message);
});
afterAll(() => {
  if (warnings.length > 0) throw new Error(`Node warned:\n${warnings.join("\n")}`);
});
