/** A warning of Node (a listener leak, a deprecation) fails the test file in which it appears. */
import { afterAll } from "vitest";

const warnings: string[] = [];
process.on("warning", (warning) => {
  // Warnings about experimental features of Node, not of this project.
  if (warning.name !== "ExperimentalWarning") warnings.push(warning.stack ?? warning.message);
});
afterAll(() => {
  if (warnings.length > 0) throw new Error(`Node warned:\n${warnings.join("\n")}`);
});
