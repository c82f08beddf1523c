import { beforeEach, describe, expect, test, vi } from "vitest";
import { agreeOnPacking, refuseUnsupported } from "../../../src/packing/agree-on-packing.ts";
import { parseCompressOption, type CompressOption } from "../../../src/packing/compress-option.ts";
import type { Codec } from "../../../src/packing/codecs.ts";

/** The sender's codecs, which are those of Node 22.15 or of an older Node. */
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

const option = (text: string | undefined): CompressOption | undefined =>
  text === undefined ? undefined : parseCompressOption(text);

/** Returns the decision as `CODEC[:LEVEL]`. */
function agree(sender: string | undefined, receiver: string | undefined, codecs: string[] = ALL): string {
  const { codec, level } = agreeOnPacking({ sender: option(sender), receiver: option(receiver), codecs });
  return [codec?.name ?? "none", level].filter((word) => word !== undefined).join(":");
}

describe("uses the option of the sender, else of the receiver:", () => {
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
  ])("sender %s, receiver %s: %s", (sender, receiver, outcome) => expect(agree(sender, receiver)).toBe(outcome));
});

test.each([undefined, "auto", "gzip:9", "zstd"])("with %s, packs nothing for a receiver without codecs", (own) => {
  expect(agree(own, undefined, [])).toBe("none");
});

describe("a side without zstd", () => {
  test("gets the next best codec with auto", () => {
    expect(agree(undefined, undefined, OLDER)).toBe("brotli");
    here.names = OLDER;
    expect(agree("auto", undefined)).toBe("brotli");
  });

  const unsupported = (side: string, words: string): object =>
    expect.objectContaining({
      code: "usage",
      message: `--compress ${words}: the ${side} side has no zstd`,
      expected: expect.stringContaining("Node 22.15") as string,
      hint: `Install it on the ${side} side, or choose brotli or auto.`,
    }) as object;

  test.each([
    ["zstd", undefined],
    [undefined, "zstd"],
  ])("is an error if the receiving side lacks the codec: sender %s, receiver %s", (sender, receiver) => {
    expect(() => agree(sender, receiver, OLDER)).toThrow(unsupported("receiving", "zstd"));
  });

  test.each([
    ["zstd:3", undefined],
    [undefined, "zstd:3"],
  ])("is an error if the sending side lacks the codec: sender %s, receiver %s", (sender, receiver) => {
    here.names = OLDER;
    expect(() => agree(sender, receiver)).toThrow(unsupported("sending", "zstd:3"));
  });

  test("is reported for both sides", () => {
    here.names = OLDER;
    expect(() => agree("zstd", undefined, OLDER)).toThrow("--compress zstd: neither side has zstd");
  });

  test("rejects its own option early", () => {
    expect(() => refuseUnsupported(option("zstd"), "receiving")).not.toThrow();
    here.names = OLDER;
    expect(() => refuseUnsupported(option("zstd"), "receiving")).toThrow(unsupported("receiving", "zstd"));
    for (const fine of [undefined, "auto", "none", "gzip:9"])
      expect(() => refuseUnsupported(option(fine), "sending")).not.toThrow();
  });
});

test("reports a receiver of an older version without gzip", () => {
  expect(() => agree("gzip", undefined, ["brotli"])).toThrow("--compress gzip: the receiving side has no gzip");
});
