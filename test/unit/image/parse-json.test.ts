import { expect, test } from "vitest";
import { parseBoundedJson } from "../../../src/image/parse-json.ts";
import { InvalidImage } from "../../../src/image/invalid-image.ts";

const parse = (text: string): unknown => parseBoundedJson(Buffer.from(text), "index.json", { depth: 3, values: 6 });

test.each([
  '{"a":[{"b":1}]}',
  // Brackets in strings do not count, however they are escaped.
  String.raw`{"[[[[,,,,,,,,,{{{{":"\"[[[[,,,,,,,,\\","x":"\\\""}`,
  '[["é]]]]"],[]]',
  "null",
])("parses %s like JSON.parse", (text) => {
  expect(parse(text)).toEqual(JSON.parse(text));
});

test.each([
  ["[[[[]]]]", "its index.json is nested more than 3 levels deep"],
  ["[1,2,3,4,5,6,7]", "its index.json has more than 6 values"],
  ["[[],[],[],[]]", "its index.json has more than 6 values"],
  ['{"a":', "its index.json is not JSON"],
  ['{"a', "its index.json is not JSON"],
  ["", "its index.json is not JSON"],
])("rejects %s", (text, message) => {
  expect(() => parse(text)).toThrow(new InvalidImage(message));
});
