import { once } from "node:events";
import { expect, test } from "vitest";
import type { Arrival } from "../../src/arrival/arrival.ts";
import type { Target } from "../../src/arrival/target.ts";
import { digestOf } from "../../src/image/digest.ts";
import { parseReference } from "../../src/image/reference.ts";
import { hearLayers } from "../../src/conversation.ts";
import type { Output } from "../../src/output/output.ts";
import { receive } from "../../src/pull.ts";
import { bothHalves } from "../../src/stdio-tunnel/in-process.ts";

const diffIds = ["one", "two"].map(digestOf);
const id = digestOf("config");
const nothing = (): void => {};
const output: Output = {
  progress: nothing,
  detail: nothing,
  note: nothing,
  warn: nothing,
  far: nothing,
  summary: nothing,
  failure: nothing,
  close: nothing,
};

/** Receives an image that was put in its place in a moment, and is found there as `found`. Resolves to the names it got. */
async function receiveInto(found: { id: string; diffIds: string[] } | undefined, arrived: Partial<Arrival>) {
  const names: string[] = [];
  const target: Target = {
    address: "a fake",
    nameFor: ({ given }) => given,
    tidy: async () => [],
    arrive: async () => ({
      name: "temporary",
      layersSent: 2,
      layersPresent: 0,
      bytesPresent: 0,
      ...arrived,
      [Symbol.asyncDispose]: async () => {},
    }),
    inspect: async () => found,
    tag: async (_, name) => void names.push(name),
    [Symbol.asyncDispose]: async () => {},
  };
  const { signal } = new AbortController();
  await bothHalves(
    {
      async sender(tunnel) {
        await tunnel.next("ask");
        await tunnel.send({ type: "about", diffIds, platform: "linux/amd64", configDigest: id });
        await tunnel.next("result");
      },
      async receiver(tunnel, stop) {
        const request = { image: "app:v1", command: [] };
        await receive(tunnel, target, parseReference("app:v1"), request, { output, env: {}, signal: stop });
      },
    },
    { tool: "0", signal, explain: (error) => error },
  );
  return names;
}

test("an image with the sender's layers and the ID that it must have gets its name", async () => {
  expect(await receiveInto({ id, diffIds }, { id })).toEqual(["app:v1"]);
});

test("one whose ID nobody can tell is known by its layers", async () => {
  expect(await receiveInto({ id: digestOf("an index"), diffIds }, {})).toEqual(["app:v1"]);
});

test.each([
  ["another config", { id: digestOf("other"), diffIds }, `its ID is ${digestOf("other")}`],
  ["other layers", { id, diffIds: diffIds.toReversed() }, "its layers differ"],
  ["nothing", undefined, "it is not in the store"],
])("what turns out to have %s gets no name", async (_, found, words) => {
  await expect(receiveInto(found, { id })).rejects.toMatchObject({
    code: "not-verified",
    message: expect.stringContaining(words) as string,
  });
});

test.each([
  ["a layer that was not asked for", [digestOf("three")]],
  ["the same layer twice", [diffIds[0], diffIds[0]]],
  ["what is no layer", ["one"]],
])("a sender that cuts %s breaks the protocol", async (_, cut) => {
  const { signal } = new AbortController();
  const both = bothHalves(
    {
      async sender(tunnel, stop) {
        await tunnel.next("want");
        for (const diffId of cut) await tunnel.send({ type: "cutting", diffId });
        await once(stop, "abort");
      },
      async receiver(tunnel, stop) {
        hearLayers(tunnel, diffIds);
        await tunnel.send({ type: "want" });
        await once(stop, "abort");
        throw stop.reason;
      },
    },
    { tool: "0", signal, explain: (error) => error },
  );
  await expect(both).rejects.toThrow(/broke the protocol: a malformed \w+/);
});
