import { expect, test } from "vitest";
import { checkSource } from "../../../../src/guard/policy/sources.ts";
import { standInTenant } from "../../../fixtures/guard/stand-in-backend.ts";

const policyOf = (...sources: string[]) => ({ ...standInTenant().policy, sources });

test.for([
  ["https://example.com", "https://example.com"],
  ["https://example.com", "https://example.com/"],
  ["https://example.com", "https://example.com/file?version=1"],
  ["https://example.com/team", "https://example.com/team"],
  ["https://example.com/team", "https://example.com/team?version=1"],
  ["https://example.com/team", "https://example.com/team#branch"],
  ["https://example.com/team/", "https://example.com/team/app.git#main:folder"],
  ["http://example.com/", "http://example.com/file"],
] as const)("allows addresses that begin with %s: %s", ([prefix, address]) => {
  expect(() => checkSource(address, policyOf(prefix))).not.toThrow();
});

test.for([
  ["https://example.com", "https://example.com.evil.example/"],
  ["https://example.com", "https://example.com:8443/"],
  ["https://example.com", "https://example.com@evil.example/"],
  ["https://example.com", "http://example.com/"],
  ["https://example.com/team", "https://example.com/teams/app"],
  ["https://example.com/team/", "https://example.com/team/../other"],
  ["https://example.com/team/", "https://example.com/team/%2e%2e/other"],
  ["https://example.com/team/", "https://example.com/team/%2E./other"],
  ["https://example.com/team/", "https://example.com/team/..%2fother"],
  ["https://example.com/team/", "https://example.com/team/..%5Cother"],
  ["https://example.com/team/", "https://example.com/team/a%00b"],
  ["https://example.com/team/", "https://example.com/team/..\\other"],
  ["https://example.com/", "https://user@example.com/"],
  ["https://example.com/", "https://:password@example.com/"],
  ["https://example.com/", "https://EXAMPLE.com/"],
  ["https://example.com/", "https://example.com/a b"],
  ["https://example.com/", "https://example.com/a\nb"],
  ["https://example.com/", "https://example.com/ä"],
  ["https://example.com:443/", "https://example.com:443/"],
  ["ftp://example.com/", "ftp://example.com/"],
  ["https://exa mple.com", "https://exa mple.com"],
  ["https://[::1", "https://[::1"],
] as const)("allows %s, and refuses %j", ([prefix, address]) => {
  expect(() => checkSource(address, policyOf(prefix))).toThrow(expect.objectContaining({ rule: "source.refused" }));
});

test("lists the allowed addresses in the sentence", () => {
  const refused = "https://evil.example/";
  expect(() => checkSource(refused, policyOf())).toThrow("none is allowed, so download it before the build");
  expect(() => checkSource(refused, policyOf("https://a/", "https://b/"))).toThrow(
    "must begin with https://a/, https://b/",
  );
});
