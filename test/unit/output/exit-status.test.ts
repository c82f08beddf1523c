import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { EXIT_STATUS } from "../../../src/output/errors.ts";

test("docs/exit-status.md has every status that the code has, and no other", () => {
  const page = readFileSync(new URL("../../../docs/exit-status.md", import.meta.url), "utf8");
  const rows = [...page.matchAll(/^\| (\d+) \| `([a-z-]+)` \|/gm)].map(([, status, code]) => [code, Number(status)]);
  expect(Object.fromEntries(rows)).toEqual(EXIT_STATUS);
});
