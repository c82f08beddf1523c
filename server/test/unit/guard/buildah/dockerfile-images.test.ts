import { describe, expect, test } from "vitest";
import { readOutside } from "../../../../src/guard/buildah/dockerfile-images.ts";

describe("what a Dockerfile takes from outside", () => {
  test.each([
    ["a base", "FROM alpine", ["alpine"]],
    ["no stage before it", "FROM alpine AS one\nFROM One\nCOPY --from=one / /\nCOPY --from=0 / /", ["alpine"]],
    ["nothing", "FROM scratch", []],
    ["an image of COPY", "FROM scratch\nCOPY --chown=1 --from=busybox:1 / /", ["busybox:1"]],
    ["an image of a mount", "FROM scratch\nRUN --mount=type=bind,from=tools,target=/t x", ["tools"]],
    ["variables", "ARG A=alpine\nARG V\nFROM --platform=linux/amd64 ${A}:${V:-3}", ["alpine:3"]],
    ["continued lines", "FROM \\\n# a comment\n alpine", ["alpine"]],
    ["another escape", "# escape=`\nFROM `\nalpine", ["alpine"]],
    ["a folder of the host", "FROM dir:/etc", ["dir:/etc"]],
  ])("%s", (_, dockerfile, images) => {
    expect(readOutside(dockerfile, {}).images).toEqual(images);
  });

  test("build arguments come before values of ARG", () => {
    expect(readOutside("ARG A=alpine\nFROM $A", { A: "dir:/etc" }).images).toEqual(["dir:/etc"]);
  });

  test.each([
    ["ADD https://example.com/a /a", ["https://example.com/a"]],
    ["ADD git@example.com:a.git /a", ["git@example.com:a.git"]],
    ['ADD ["https://example.com/a", "/a"]', ["https://example.com/a"]],
    ["ARG U=https://example.com\nADD $U/a /a", ["https://example.com/a"]],
    ["ADD $UNKNOWN /a", ["$UNKNOWN"]],
    ["ADD file /a", []],
  ])("addresses: %s", (lines, addresses) => {
    expect(readOutside(`FROM scratch\n${lines}`, {}).addresses).toEqual(addresses);
  });
});
