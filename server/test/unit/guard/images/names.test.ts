import { describe, expect, test } from "vitest";
import { engineName, withTenantNames, parseTenantName, tenantName } from "../../../../src/guard/images/names.ts";

const mapped = (given: string, tenant = "a"): string => engineName(tenant, parseTenantName(given));

describe("the engine's name for a tenant's name", () => {
  test.each([
    ["app", "guard.internal/a/docker.io/library/app:latest"],
    ["app:v1", "guard.internal/a/docker.io/library/app:v1"],
    ["team/app:v1", "guard.internal/a/docker.io/team/app:v1"],
    ["localhost/app:v1", "guard.internal/a/localhost/app:v1"],
    ["r.example:5000/app:v1", "guard.internal/a/r.example__5000/app:v1"],
    [`app@sha256:${"1".repeat(64)}`, `guard.internal/a/docker.io/library/app@sha256:${"1".repeat(64)}`],
  ])("%s", (given, name) => {
    expect(mapped(given)).toBe(name);
    expect(parseTenantName(tenantName("a", name) ?? "")).toMatchObject({ path: parseTenantName(given).path });
  });

  test("does not belong to another tenant, even if the tenants' names begin alike", () => {
    const name = mapped("app:v1", "a-b");
    expect(tenantName("a-b", name)).toBe("app:v1");
    expect(tenantName("a", name)).toBeUndefined();
    expect(tenantName("a-b-c", name)).toBeUndefined();
    expect(tenantName("a", "docker.io/library/app:v1")).toBeUndefined();
    expect(tenantName("a", "guard.internal/a/docker.io/library/App")).toBeUndefined();
  });

  test.each([
    ["name.host", "R.example/app"],
    ["name.host", "[::1]:5000/app"],
    ["name.invalid", "a..example/app"],
    ["name.invalid", "-r.example/app"],
    ["name.length", `team/${"a".repeat(230)}`],
    ["name.reserved", "guard.internal/b/docker.io/library/app"],
    ["name.reserved", "guard.internal:5000/app"],
    ["name.invalid", "App"],
    ["name.invalid", "a//b"],
    ["name.invalid", "../app"],
    ["name.invalid", ""],
  ])("does not exist: %s %s", (rule, given) => {
    expect(() => mapped(given)).toThrow(expect.objectContaining({ name: "Refusal", rule }));
  });
});

test("withTenantNames inserts the tenant's names, and hides those of other tenants", () => {
  const text = "naming to guard.internal/a/docker.io/library/app:v1, guard.internal/b/docker.io/library/x:v1.";
  expect(withTenantNames("a", text)).toBe("naming to app:v1, (an image of another tenant).");
  expect(withTenantNames("a", "docker.io/library/app:v1")).toBe("docker.io/library/app:v1");
});
