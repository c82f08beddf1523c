import { beforeEach, describe, expect, test, vi } from "vitest";
import { agreeOnPacking, refuseUnsupported } from "../../../src/packing/agree-on-packing.ts";
import { parseCompressOption, type CompressOption } from "../../../src/packing/compress-option.ts";
import type { Codec } from "../../../src/packing/codecs.ts";

/** What the sending side has: one with Node 22.15, or one with an older Node. */
const here = vi.hoisted(() => ({ names: [] as string[] }));
vi.mock("../../../src/packing/codecs.ts", () => ({
  get CODECS() {
    return here.names.map((name) => ({ name }) as Codec);
  },
  commonCodec: (names: string[]) => here.names.map((name) => ({ name })).find(({ name }) => names.includes(name)),
}));

const ALL = ["zstd", "brotli", "gzip"];
const OLDER = ["brotli", "gzip"];

beforeEach(() => {
  here.names = ALL;
});

const choice = (text: string | undefined): CompressOption | undefined =>
  text === undefined ? undefined : parseCompressOption(text);

/** What comes of it, as `CODEC[:LEVEL]`. */
function agree(own: string | undefined, theirs: string | undefined, codecs: string[] = ALL): string {
  const { codec, level } = agreeOnPacking({ own: choice(own), theirs: choice(theirs), codecs });
  return [codec?.name ?? "none", level].filter((word) => word !== undefined).join(":");
}

describe("the sending side decides, the receiving side may wish", () => {
  test.each([
    [undefined, undefined, "zstd"],
    [undefined, "auto", "zstd"],
    [undefined, "none", "none"],
    [undefined, "brotli:0", "brotli:0"],
    [undefined, "gzip", "gzip"],
    ["gzip:9", undefined, "gzip:9"],
    ["zstd:19", undefined, "zstd:19"],
    ["none", "gzip:9", "none"],
    ["gzip", "none", "gzip"],
    ["auto", "none", "zstd"],
    ["brotli", "brotli:11", "brotli"],
  ])("%s, and %s: %s", (own, theirs, outcome) => expect(agree(own, theirs)).toBe(outcome));
});

test.each([undefined, "auto", "gzip:9", "zstd"])("told %s, nothing is packed for one who unpacks nothing", (own) => {
  expect(agree(own, undefined, [])).toBe("none");
});

describe("an end without zstd", () => {
  test("does not keep auto from the next best", () => {
    expect(agree(undefined, undefined, OLDER)).toBe("brotli");
    here.names = OLDER;
    expect(agree("auto", undefined)).toBe("brotli");
  });

  const lacking = (end: string, words: string): object =>
    expect.objectContaining({
      code: "usage",
      message: `--compress ${words}: the ${end} side has no zstd`,
      expected: expect.stringContaining("Node 22.15") as string,
      hint: `Install it on the ${end} side, or choose brotli or auto.`,
    }) as object;

  test.each([
    ["zstd", undefined],
    [undefined, "zstd"],
  ])("told %s here and %s there, and the receiving side is that end", (own, theirs) => {
    expect(() => agree(own, theirs, OLDER)).toThrow(lacking("receiving", "zstd"));
  });

  test.each([
    ["zstd:3", undefined],
    [undefined, "zstd:3"],
  ])("told %s here and %s there, and the sending side is that end", (own, theirs) => {
    here.names = OLDER;
    expect(() => agree(own, theirs)).toThrow(lacking("sending", "zstd:3"));
  });

  test("is either of them", () => {
    here.names = OLDER;
    expect(() => agree("zstd", undefined, OLDER)).toThrow("--compress zstd: neither side has zstd");
  });

  test("knows that by itself", () => {
    expect(() => refuseUnsupported(choice("zstd"), "receiving")).not.toThrow();
    here.names = OLDER;
    expect(() => refuseUnsupported(choice("zstd"), "receiving")).toThrow(lacking("receiving", "zstd"));
    for (const fine of [undefined, "auto", "none", "gzip:9"])
      expect(() => refuseUnsupported(choice(fine), "sending")).not.toThrow();
  });
});

test("a receiving side that does not know gzip yet", () => {
  expect(() => agree("gzip", undefined, ["brotli"])).toThrow("--compress gzip: the receiving side has no gzip");
});
