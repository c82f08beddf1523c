import { expect, test } from "vitest";
import { readRoute, writeRoute } from "../../../page/route.ts";

test.each([
  "#",
  "#job=01938b5e-7a00-7000-8000-000000000001",
  "#view=workers",
  "#job=x&status=queued,failed&name=team/app:v2",
  "#name=a+b%26c",
])("%s is an address of the page", (hash) => {
  expect(writeRoute(readRoute(hash))).toBe(hash);
});

test("omits an invalid ID, view or state", () => {
  expect(writeRoute(readRoute("#job=../../x&view=other&status=failed,wrong&more=1"))).toBe("#status=failed");
});
