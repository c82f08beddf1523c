import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { expect, test } from "vitest";
import { MAN_PAGE, manPage } from "../../scripts/man-page.ts";

test("the man page matches the definitions of the commands (`npm run docs` updates it)", () => {
  expect(manPage()).toContain("\\-\\-preserve\\-digest");
  expect(readFileSync(MAN_PAGE, "utf8")).toBe(manPage());
});

const hasGroff = (await execa({ reject: false })`groff --version`).exitCode === 0;

test.skipIf(!hasGroff)(`groff prints no warnings for it${hasGroff ? "" : " (groff is not installed)"}`, async () => {
  const { stdout, stderr } = await execa`groff -ww -man -Tutf8 -rLL=100n -P-cbu ${fileURLToPath(MAN_PAGE)}`;
  expect(stderr).toBe("");
  expect(stdout).toContain("docker-over-ssh push");
  expect(stdout).toContain("--bwlimit <rate>");
});
