import { describe, expect, test } from "vitest";
import { readExternalSources } from "../../../../src/guard/buildah/external-sources.ts";

describe("readExternalSources finds", () => {
  test.each([
    ["a base", "FROM alpine", ["alpine"]],
    ["no earlier stage", "FROM alpine AS one\nFROM One\nCOPY --from=one / /\nCOPY --from=0 / /", ["alpine"]],
    ["nothing", "FROM scratch", []],
    ["an image of COPY", "FROM scratch\nCOPY --chown=1 --from=busybox:1 / /", ["busybox:1"]],
    ["an image of a mount", "FROM scratch\nRUN --mount=type=bind,from=tools,target=/t x", ["tools"]],
    ["variables", "ARG A=alpine\nARG V\nFROM --platform=linux/amd64 ${A}:${V:-3}", ["alpine:3"]],
    ["a variable in a variable's place", "ARG B=alpine\nARG A=busybox\nFROM ${A:-$B}", ["busybox"]],
    ["a variable as the default of an unset one", "ARG B=alpine\nFROM ${A:-${C:-$B}}", ["alpine"]],
    ["quoted values", "ARG B=alpine\nARG A=\"$B:3\" C='$B'\nFROM $A\nCOPY --from=$C / /", ["alpine:3", "$B"]],
    ["no name that it cannot expand", "ARG A=alpine\nFROM ${A%x}\nFROM ${A:-$A", []],
    ["continued lines", "FROM \\\n# a comment\n alpine", ["alpine"]],
    ["another escape", "# escape=`\nFROM `\nalpine", ["alpine"]],
    ["a folder of the host", "FROM dir:/etc", ["dir:/etc"]],
  ])("%s", (_, dockerfile, images) => {
    expect(readExternalSources(dockerfile, {}).images).toEqual(images);
  });

  test("the value of a build argument rather than that of ARG", () => {
    expect(readExternalSources("ARG A=alpine\nFROM $A", { A: "dir:/etc" }).images).toEqual(["dir:/etc"]);
    expect(readExternalSources("ARG constructor=alpine\nFROM $constructor", {}).images).toEqual(["alpine"]);
  });

  test.each([
    ["ADD https://example.com/a /a", ["https://example.com/a"]],
    ["ADD git@example.com:a.git /a", ["git@example.com:a.git"]],
    ['ADD ["https://example.com/a", "/a"]', ["https://example.com/a"]],
    ["ARG U=https://example.com\nADD $U/a /a", ["https://example.com/a"]],
    ["ADD $UNKNOWN /a", ["$UNKNOWN"]],
    ["ARG U=https://example.com\nADD ${UNKNOWN:-$U/a} /a", ["${UNKNOWN:-$U/a}"]],
    ["ARG U=a\nARG U=${U%x}\nADD $U /a", ["$U"]],
    ["ADD it's /a", []],
    ["ADD file /a", []],
  ])("the addresses of %s", (lines, addresses) => {
    expect(readExternalSources(`FROM scratch\n${lines}`, {}).addresses).toEqual(addresses);
  });
});

describe("with a hostile Dockerfile, readExternalSources", () => {
  test("limits the length of values", () => {
    const doubling = Array.from({ length: 40 }, () => "ENV A=$A$A$A\n").join("");
    expect(readExternalSources(`ARG A=x\n${doubling}FROM x$A`, {}).images[0]?.length).toBeLessThan(5000);
  });

  test("refuses an address that is too long to check", () => {
    const long = `https://files.example.com/${"a/".repeat(3000)}../../secret`;
    expect(() => readExternalSources(`FROM scratch\nADD ${long} /a`, {})).toThrow(
      expect.objectContaining({ rule: "build.dockerfile" }),
    );
  });

  test("takes little time", () => {
    const rows = [`# a=b${" ".repeat(300_000)}c`, `FROM ${"${a:-".repeat(100_000)}`];
    for (const row of rows) expect(readExternalSources(`${row}\nFROM alpine`, {}).images).toContain("alpine");
  });
});
