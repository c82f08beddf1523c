import { expect, test } from "vitest";
import { readPage } from "../../scripts/cli-reference.ts";

test("docs/cli.md contains the arguments and options of the command definitions (`npm run docs` updates it)", () => {
  const { is, shouldBe } = readPage();
  expect(shouldBe).toContain("`--preserve-digest`");
  expect(is).toBe(shouldBe);
});
