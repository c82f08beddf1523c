import { expect, test } from "vitest";
import {
  formatCompressOption,
  InvalidCompressOption,
  parseCompressOption,
  type CompressOption,
} from "../../../src/packing/compress-option.ts";

test.each<[string, CompressOption]>([
  ["auto", { how: "auto" }],
  ["none", { how: "none" }],
  ["gzip", { how: "gzip" }],
  ["gzip:1", { how: "gzip", level: 1 }],
  ["gzip:9", { how: "gzip", level: 9 }],
  ["brotli", { how: "brotli" }],
  ["brotli:0", { how: "brotli", level: 0 }],
  ["brotli:11", { how: "brotli", level: 11 }],
  ["zstd", { how: "zstd" }],
  ["zstd:1", { how: "zstd", level: 1 }],
  ["zstd:19", { how: "zstd", level: 19 }],
])("parses and formats %s", (text, option) => {
  expect(parseCompressOption(text)).toEqual(option);
  expect(formatCompressOption(option)).toBe(text);
});

test.each([
  ["gzip:0", "Expected a level of gzip from 1 to 9."],
  ["gzip:10", "Expected a level of gzip from 1 to 9."],
  ["brotli:12", "Expected a level of brotli from 0 to 11."],
  ["zstd:0", "Expected a level of zstd from 1 to 19."],
  ["zstd:20", "Expected a level of zstd from 1 to 19."],
  ["gzip:", "Expected a level of gzip from 1 to 9."],
  ["gzip:-1", "Expected a level of gzip from 1 to 9."],
  ["gzip:+1", "Expected a level of gzip from 1 to 9."],
  ["gzip: 1", "Expected a level of gzip from 1 to 9."],
  ["gzip:1.5", "Expected a level of gzip from 1 to 9."],
  ["gzip:1e0", "Expected a level of gzip from 1 to 9."],
  ["gzip:6:6", "Expected a level of gzip from 1 to 9."],
  ["none:1", "Expected none without a level."],
  ["auto:3", "Expected auto without a level."],
  ["", "Expected auto, none, gzip, brotli or zstd"],
  ["GZIP", "Expected auto"],
  ["lz4", "Expected auto"],
  ["toString", "Expected auto"],
  ["__proto__:1", "Expected auto"],
])("rejects %j: %s", (text, words) => {
  expect(() => parseCompressOption(text)).toThrow(words);
  expect(() => parseCompressOption(text)).toThrow(InvalidCompressOption);
});
