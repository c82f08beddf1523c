import { expect, test } from "vitest";
import { readPage } from "../../scripts/cli-reference.ts";

test("docs/cli.md has the arguments and options of the command definitions; `npm run docs` brings it up to date", () => {
  const { is, shouldBe } = readPage();
  expect(shouldBe).toContain("`--preserve-digest`");
  expect(is).toBe(shouldBe);
});
