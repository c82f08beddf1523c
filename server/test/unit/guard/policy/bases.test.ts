import { parseReference } from "docker-over-ssh/builds";
import { expect, test } from "vitest";
import { originOf } from "../../../../src/guard/policy/bases.ts";
import { standInTenant } from "../../../fixtures/guard/stand-in-backend.ts";

const policyOf = (bases: string[], pulls: string[]) => ({ ...standInTenant().policy, bases, pulls });
const base = parseReference("registry.example.com/base:v1");
const ALL = ["registry.example.com/*"];

test("prefers an own image, then the host's, then the registry's", () => {
  expect(originOf(base, policyOf(ALL, ALL), true)).toBe("own");
  expect(originOf(base, policyOf(ALL, ALL), false)).toBe("host");
  expect(originOf(base, policyOf([], ALL), false)).toBe("registry");
});

test("refuses a base that the policy does not list, and shows the list", () => {
  expect(() => originOf(base, policyOf([], []), false)).toThrow(
    '"registry.example.com/base:v1" is not a base that may be used here: only images built here are',
  );
  expect(() => originOf(base, policyOf(["docker.io/library/alpine"], ["r.example/*"]), false)).toThrow(
    expect.objectContaining({
      rule: "base.refused",
      message: expect.stringContaining("docker.io/library/alpine, r.example/*") as string,
    }),
  );
});
