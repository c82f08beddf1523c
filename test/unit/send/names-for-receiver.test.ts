import { describe, expect, test } from "vitest";
import type { Ask } from "../../../src/conversation/ask.ts";
import { parseImageName } from "../../../src/image/image-name.ts";
import { parseReference } from "../../../src/image/reference.ts";
import { newRunId } from "../../../src/run/run-id.ts";
import { keepToGive, namesToGive } from "../../../src/send/names-for-receiver.ts";

const image = parseImageName("app:v2");
const latest = { further: { names: [], tags: ["latest"] } };
/** The `ask` of version 0.1, which contains no names. */
const old: Ask = { image, runId: newRunId() };
const asked = (...names: string[]): Ask => ({ ...old, names: names.map(parseReference) });

describe("the names that the sender gives", () => {
  test("are sent to a receiver that accepts them, or requests no image", () => {
    const all = ["app:v2", "app:latest"];
    for (const ask of [{ ...asked("app:v2"), acceptsNames: true }, { runId: old.runId }]) {
      expect(namesToGive(ask, latest, image)?.map(({ given }) => given)).toEqual(all);
    }
  });

  test("are not needed if the receiver gives the same names, or if there are none", () => {
    expect(namesToGive(asked("app:v2", "docker.io/library/app:latest"), latest, image)).toBe(undefined);
    expect(namesToGive(old, {}, image)).toBe(undefined);
  });

  test.each<[string, Ask, string]>([
    ["version 0.1", old, "Install the same version on both sides"],
    ["a receiver with other names", asked("app:v2"), "Give --as and --tag-also on the receiving side"],
  ])("are refused for %s", (_, ask, hint) => {
    expect(() => namesToGive(ask, latest, image)).toThrow(
      expect.objectContaining({ code: "refused", hint: expect.stringContaining(hint) as string }),
    );
  });
});

test("rejects --keep for a receiver that does not accept it from the sender", () => {
  expect(keepToGive({ ...old, acceptsKeep: true }, 3)).toBe(3);
  expect(keepToGive(old, undefined)).toBe(undefined);
  expect(() => keepToGive(old, 3)).toThrow("the receiving side does not accept --keep 3 from the sending side");
});
