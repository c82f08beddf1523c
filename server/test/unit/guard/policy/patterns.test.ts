import { parseReference } from "docker-over-ssh/builds";
import { expect, test } from "vitest";
import { matchesHost, matchesPattern, parseImagePattern } from "../../../../src/guard/policy/patterns.ts";

const DIGEST = `sha256:${"1".repeat(64)}`;
const OTHER = `sha256:${"2".repeat(64)}`;

test.each<[pattern: string, allowed: string[], refused: string[]]>([
  ["*", ["alpine", "r.example/a:1"], []],
  ["alpine", ["alpine", "alpine:3", `alpine@${DIGEST}`], ["alpine2", "r.example/alpine", "team/alpine"]],
  ["alpine:3.*", ["alpine:3.20"], ["alpine:3", "alpine:4.0", "alpine", `alpine:3.20@${DIGEST}`, `alpine@${DIGEST}`]],
  ["alpine:latest", ["alpine"], ["alpine:3", `alpine@${DIGEST}`]],
  [`alpine@${DIGEST}`, [`alpine@${DIGEST}`, `alpine:3@${DIGEST}`], ["alpine", `alpine@${OTHER}`]],
  ["r.example/*", ["r.example/a", "r.example/a/b:1"], ["r.example:5000/a", "rxexample/a", "x.r.example/a"]],
  // A path may look like a host.
  ["*.example/*", ["r.example/a", "a.b.example/a:1"], ["evil.com/r.example/a", "r.example:5000/a", "evil.com/a"]],
  ["*.example/team/*", ["r.example/team/a"], ["evil.com/r.example/team/a", "r.example/other"]],
  // As in docker: the first part is not a host without a dot or a port.
  ["*/app", ["x/app", "x/y/app"], ["r.example/app", "r.example/x/app"]],
  ["r.example:5000/a", ["r.example:5000/a:1"], ["r.example/a", "r.example:5000/ab"]],
])("matches the pattern %s", (text, allowed, refused) => {
  const pattern = parseImagePattern(text);
  const isAllowed = (name: string): boolean => matchesPattern(pattern, parseReference(name));
  expect(allowed.filter((name) => !isAllowed(name))).toEqual([]);
  expect(refused.filter(isAllowed)).toEqual([]);
});

test.each(["", "App", "a b", "a//b", "starstar", "a?", "[::1]/a", "$(x)"])("rejects the pattern %j", (text) => {
  expect(() => parseImagePattern(text)).toThrow("expected the name of an image");
});

test.each([
  ["r.example/team/*", "r.example", true],
  ["*.example/a", "r.example", true],
  ["*", "r.example", true],
  ["r.example/a", "r.example:5000", false],
  ["a*/b", "r.example", false],
  ["r.example/*", "rxexample", false],
])("the pattern %s matches the host %s: %s", (pattern, host, expected) => {
  expect(matchesHost(pattern, host)).toBe(expected);
});
