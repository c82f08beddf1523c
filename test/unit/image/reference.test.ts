import { describe, expect, test } from "vitest";
import { fullName, InvalidReference, parseReference, taggableName } from "../../../src/image/reference.ts";

const SHA = `sha256:${"a1".repeat(32)}`;

describe("parses a reference like docker:", () => {
  test.each([
    ["app", "docker.io/library/app:latest"],
    ["app:v2", "docker.io/library/app:v2"],
    ["team/app", "docker.io/team/app:latest"],
    ["team/group/app:1.0_x-y", "docker.io/team/group/app:1.0_x-y"],
    ["docker.io/app", "docker.io/library/app:latest"],
    ["index.docker.io/team/app", "docker.io/team/app:latest"],
    ["localhost/app", "localhost/app:latest"],
    ["localhost:5000/app", "localhost:5000/app:latest"],
    ["registry.example.com/team/app:v2", "registry.example.com/team/app:v2"],
    ["registry.example.com:8443/a/b/c/d:v2", "registry.example.com:8443/a/b/c/d:v2"],
    ["127.0.0.1:5000/app", "127.0.0.1:5000/app:latest"],
    ["[::1]:5000/app", "[::1]:5000/app:latest"],
    ["UPPER/app", "UPPER/app:latest"],
    ["a__b/c-d.e--f", "docker.io/a__b/c-d.e--f:latest"],
    [`app@${SHA}`, `docker.io/library/app@${SHA}`],
    [`localhost:5000/app:v1@${SHA}`, `localhost:5000/app:v1@${SHA}`],
  ])("%s is %s", (given, full) => {
    const reference = parseReference(given);
    expect(fullName(reference)).toBe(full);
    expect(reference.given).toBe(given);
  });
});

describe("rejects other text with a reason:", () => {
  test.each([
    ["", "empty"],
    ["App", "lower case"],
    ["team/App:v1", "lower case"],
    ["app:", "not a tag"],
    ["app:-v1", "not a tag"],
    [`app:${"v".repeat(129)}`, "not a tag"],
    ["app@sha256:short", "digest"],
    [`app@${SHA}@${SHA}`, "digest"],
    ["a//b", "not a name"],
    ["/app", "not a name"],
    ["-app", "not a name"],
    ["app_-_x", "not a name"],
    ["app name", "not a name"],
    ["host:port/app", "not a registry host"],
    ["localhost:5000/", "no name"],
    ["../app", "not a registry host"],
    ["a1".repeat(32), "image ID"],
    [SHA, "image ID"],
    ["x".repeat(250), "longer than 255"],
  ])("%j: %s", (given, why) => {
    expect(() => parseReference(given)).toThrow(InvalidReference);
    expect(() => parseReference(given)).toThrow(why);
  });
});

test("an engine can assign a tag, but not a digest alone", () => {
  expect(taggableName(parseReference("app"))).toBe("app:latest");
  expect(taggableName(parseReference("localhost:5000/app"))).toBe("localhost:5000/app:latest");
  expect(taggableName(parseReference("docker.io/library/app:v1"))).toBe("docker.io/library/app:v1");
  expect(taggableName(parseReference(`app:v1@${SHA}`))).toBe("app:v1");
  expect(taggableName(parseReference(`app@${SHA}`))).toBeUndefined();
});
