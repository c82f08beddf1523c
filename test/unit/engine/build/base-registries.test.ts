import { expect, test } from "vitest";
import { baseRegistries } from "../../../../src/engine/build/base-registries.ts";

const HUB = "https://index.docker.io/v1/";

test.each<[string, string[]]>([
  ["FROM busybox", [HUB]],
  ["FROM scratch", []],
  ["from --platform=linux/amd64 registry.example.com:5000/base:v1 AS build", ["registry.example.com:5000"]],
  ["ARG BASE=a.example.com/one\nFROM ${BASE}:v1\nFROM $BASE", ["a.example.com"]],
  ['ARG HOST\nARG TAG="v1"\nFROM ${HOST:-b.example.com}/base:${TAG}', ["b.example.com"]],
  ["ARG GIVEN=x.example.com\nFROM $GIVEN/base", ["given.example.com"]],
  [
    "FROM a.example.com/x\\\n AS one\nCOPY --chown=1 --from=c.example.com/tools /a /b",
    ["a.example.com", "c.example.com"],
  ],
  ["FROM ??", []],
])("finds the registries of %j", (dockerfile, expected) => {
  expect(baseRegistries(dockerfile, { GIVEN: "given.example.com" })).toEqual(expected);
});

test("finds at most twenty in a hostile Dockerfile", () => {
  const lines = Array.from({ length: 1000 }, (_, n) => `FROM r${n}.example.com/base`);
  expect(baseRegistries(lines.join("\n"), {})).toHaveLength(20);
});
