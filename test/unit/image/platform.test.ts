import { describe, expect, test } from "vitest";
import { parseConfig } from "../../../src/image/config.ts";
import { isKnownPlatform, formatPlatform, parsePlatform, platformOf } from "../../../src/image/platform.ts";
import { layersOnlyConfig } from "../../../src/store/compose-manifest.ts";
import { asPlatform } from "./platforms.ts";

const config = (platform: object): Buffer => Buffer.from(JSON.stringify({ ...platform, rootfs: { diff_ids: [] } }));

describe("the platform that a config names", () => {
  test.each([
    [{ os: "linux", architecture: "arm64", variant: "v8" }, "linux/arm64/v8"],
    [{ os: "linux", architecture: "amd64", variant: "" }, "linux/amd64"],
    [{ os: "linux", architecture: "" }, "linux/unknown"],
    [{ os: "linux" }, "linux/unknown"],
    [{ architecture: null }, "unknown/unknown"],
  ])("%j", (named, platform) => {
    expect(formatPlatform(parseConfig(config(named)).platform)).toBe(platform);
  });

  test.each([{ os: "linux", architecture: "AMD 64" }, { os: 7 }, { os: "a/b" }])("%j is invalid", (named) => {
    expect(() => parseConfig(config(named))).toThrow("names an invalid platform");
  });
});

test("writes no unknown platform into a config", () => {
  expect(["linux/amd64", "linux/unknown", "unknown/unknown"].map(asPlatform).map(isKnownPlatform)).toEqual([
    true,
    false,
    false,
  ]);
  expect(formatPlatform(platformOf({}))).toBe("unknown/unknown");
  const made = JSON.parse(layersOnlyConfig(asPlatform("linux/unknown"), []).toString()) as object;
  expect(made).toEqual({ os: "linux", config: {}, rootfs: { type: "layers", diff_ids: [] } });
});

test.each(["linux/amd64", "linux/arm64/v8", "windows/amd64"])("parses and formats %s", (text) => {
  expect(formatPlatform(asPlatform(text))).toBe(text);
});

test.each(["", "linux", "linux/", "linux/arm64/", "linux/arm64/v8/x", "Linux/amd64", "linux amd64"])(
  '"%s" is no platform',
  (text) => {
    expect(parsePlatform(text)).toBeUndefined();
  },
);
