import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { SERVICE_WORDS } from "../../../src/worker/outcomes.ts";

const core = join(import.meta.dirname, "../../../../src");
const sources = readdirSync(core, { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts"))
  .map((name) => readFileSync(join(core, name), "utf8"));

/** The hint about `docker login` is composed; how-jobs-end.test.ts checks its whole sentence. */
const texts = SERVICE_WORDS.flatMap(([core]) => (typeof core === "string" ? [core] : []));

// A message of the core that gets other words would reach the sender of a job unchanged.
test.each(texts)("the core has the message that the worker replaces: %s", (text) => {
  expect(sources.some((source) => source.includes(text))).toBe(true);
});
