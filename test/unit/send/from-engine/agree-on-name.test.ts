import { describe, expect, test } from "vitest";
import { agreeOnName } from "../../../../src/send/from-engine/agree-on-name.ts";
import type { ImageInfo } from "../../../../src/engine/engine-images.ts";
import { parseImageName } from "../../../../src/image/image-name.ts";
import { AMD64 } from "../../image/platforms.ts";

const HEX = `1a2b3c4d5e6f${"0".repeat(52)}`;
const ID = `sha256:${HEX}`;
const SHORT = "1a2b3c4d5e6f";
const found = (...names: string[]): ImageInfo => ({ id: ID, names, diffIds: [], platform: AMD64, size: 0 });
const agree = (named: string, info: ImageInfo, requested: string, options: object = {}) =>
  agreeOnName(parseImageName(named), info, { image: parseImageName(requested), ...options });

describe("an image that the sender names by ID is found by the ID, and gets the requested name", () => {
  test.each([ID, HEX, SHORT, `sha256:${SHORT}`])("%s", (named) => {
    expect(agree(named, found(), "team/app:v2")).toEqual({ given: ID, domain: "docker.io", path: "team/app" });
  });

  test("or its own name, if it has one", () => {
    expect(agree(SHORT, found("other:v1"), "team/app:v2")).toMatchObject({ given: "other:v1", tag: "v1" });
  });

  test("or is refused if it has no name", () => {
    for (const requested of [ID, SHORT])
      expect(() => agree(SHORT, found(), requested)).toThrow(`${requested} is the ID of an image`);
    expect(agree(SHORT, found(), SHORT, { isRenamed: true }).given).toBe(ID);
  });
});

describe("a name that looks like an ID is treated as a name if an image has it", () => {
  test.each([`${SHORT}:latest`, `localhost/${SHORT}:latest`, `docker.io/library/${SHORT}:latest`])("%s", (name) => {
    const info = { ...found(name), id: `sha256:${"f".repeat(64)}` };
    expect(agree(SHORT, info, SHORT)).toMatchObject({ given: SHORT, tag: "latest" });
    expect(agree(SHORT, found(name), SHORT)).toMatchObject({ given: SHORT, tag: "latest" });
  });
});

describe("an image that the sender names must be requested", () => {
  test("by the same name, in any spelling", () => {
    expect(agree("app:v1", found("app:v1"), "docker.io/library/app:v1").given).toBe("app:v1");
    expect(() => agree("app:v1", found("app:v1"), "app:v2")).toThrow(
      "offers app:v1, the receiving side requests app:v2",
    );
  });

  test("or by its ID, if the receiver gives it another name", () => {
    expect(agree("app:v1", found("app:v1"), ID, { isRenamed: true }).given).toBe("app:v1");
    expect(() => agree("app:v1", found("app:v1"), ID)).toThrow("needs a name");
    const another = `sha256:${"f".repeat(64)}`;
    expect(() => agree("app:v1", found("app:v1"), another, { isRenamed: true })).toThrow("requests sha256:ff");
    expect(() => agree(ID, found(), another, { isRenamed: true })).toThrow("requests sha256:ff");
  });

  test("or by the name that --as gives it", () => {
    expect(agree("app:v1", found("app:v1"), "app:v2", { isNewName: true }).given).toBe("app:v1");
  });
});
