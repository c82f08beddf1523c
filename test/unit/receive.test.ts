import { once } from "node:events";
import { beforeEach, describe, expect, test } from "vitest";
import { manifestText } from "../../src/conversation/fields.ts";
import { hearLayerAnnouncements } from "../../src/conversation/layer-announcements.ts";
import { parseAsk, parseWant, type Ask, type Want } from "../../src/conversation/messages.ts";
import type { ReceivedImage } from "../../src/receive/received-image.ts";
import type { Target } from "../../src/receive/target.ts";
import { digestOf } from "../../src/image/digest.ts";
import { MEDIA_TYPE, parseImageManifest, encodeManifest } from "../../src/image/manifest.ts";
import { readPullRequest } from "../../src/commands/pull.ts";
import type { Output } from "../../src/output/output.ts";
import { receive } from "../../src/pull.ts";
import { bothHalves } from "../../src/stdio-tunnel/in-process.ts";

const diffIds = ["one", "two"].map(digestOf);
const id = digestOf("config");
let asked: Ask | undefined;
let wanted: Want | undefined;
const notes: string[] = [];
const nothing = (): void => {};
const output: Output = {
  progress: nothing,
  detail: nothing,
  note: (text) => notes.push(text),
  warn: nothing,
  far: nothing,
  summary: nothing,
  failure: nothing,
  close: nothing,
};

/** Receives an image that was put in its place in a moment, and is found there as `found`. Resolves to the names it got. */
async function receiveInto(
  found: { id: string; diffIds: string[] } | undefined,
  arrived: Partial<ReceivedImage>,
  {
    manifestOf,
    about,
    preserveDigest,
    declines,
  }: { manifestOf?: string; about?: object; preserveDigest?: true; declines?: true } = {},
) {
  const names: string[] = [];
  const target: Target = {
    address: "a fake",
    nameFor: ({ given }) => given,
    tidy: async () => [],
    receive: async ({ decline }) => {
      if (declines) await decline();
      return {
        name: "temporary",
        layersSent: 2,
        layersPresent: 0,
        bytesPresent: 0,
        ...arrived,
        [Symbol.asyncDispose]: async () => {},
      };
    },
    inspect: async () => found,
    ...(manifestOf !== undefined && { manifestOf: async () => manifestOf }),
    tag: async (_, name) => void names.push(name),
    [Symbol.asyncDispose]: async () => {},
  };
  const { signal } = new AbortController();
  await bothHalves(
    {
      async sender(tunnel) {
        asked = parseAsk(await tunnel.next("ask"));
        await tunnel.send({ type: "about", diffIds, platform: "linux/amd64", configDigest: id, ...about });
        if (declines) wanted = parseWant(await tunnel.next("want"));
        await tunnel.next("result"); // it has offered nothing
      },
      async receiver(tunnel, stop) {
        const request = readPullRequest({ image: "app:v1", command: [] }, { preserveDigest }, {});
        await receive(tunnel, target, request, { output, env: {}, signal: stop });
      },
    },
    { tool: "0", signal, explain: (error) => error },
  );
  return names;
}

test("an image with the sender's layers and the ID that it must have gets its name", async () => {
  expect(await receiveInto({ id, diffIds }, { id })).toEqual(["app:v1"]);
});

test("an image that is there as a whole gets its name without a word from the sender", async () => {
  expect(await receiveInto({ id, diffIds }, { id }, { declines: true })).toEqual(["app:v1"]);
  expect(wanted).toMatchObject({ kind: "nothing" });
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
])("a sender that announces %s breaks the protocol", async (_, announced) => {
  const { signal } = new AbortController();
  const both = bothHalves(
    {
      async sender(tunnel, stop) {
        await tunnel.next("want");
        const blob = { mediaType: MEDIA_TYPE.ociLayer, digest: digestOf("blob"), size: 3, pieces: "too" };
        for (const diffId of announced) await tunnel.send({ type: "layer", diffId, ...blob });
        await once(stop, "abort");
      },
      async receiver(tunnel, stop) {
        hearLayerAnnouncements(tunnel, diffIds);
        await tunnel.send({ type: "want" });
        await once(stop, "abort");
        throw stop.reason;
      },
    },
    { tool: "0", signal, explain: (error) => error },
  );
  await expect(both).rejects.toThrow(/broke the protocol: a malformed \w+/);
});

describe("--preserve-digest", () => {
  const blobs = ["config", "one", "two"].map((text) => ({
    mediaType: MEDIA_TYPE.ociLayer,
    digest: digestOf(text),
    size: 3,
  }));
  const [config = expect.fail(), ...layers] = blobs;
  const { bytes, descriptor } = encodeManifest({ mediaType: MEDIA_TYPE.ociManifest, config, layers });
  const about = { preserve: true, manifest: manifestText(parseImageManifest(bytes)) };
  beforeEach(() => notes.splice(0));

  test("an image with the sender's manifest gets its name", async () => {
    const manifestOf = descriptor.digest;
    expect(await receiveInto({ id, diffIds }, {}, { manifestOf, about, preserveDigest: true })).toEqual(["app:v1"]);
    expect(asked).toMatchObject({ keepsManifests: true, preserve: true });
    expect(notes).toEqual([]);
  });

  test("one with another manifest gets none", async () => {
    await expect(receiveInto({ id, diffIds }, {}, { manifestOf: digestOf("other"), about })).rejects.toMatchObject({
      code: "not-verified",
      message: `the image's manifest in the store is ${digestOf("other")}, not the sender's`,
    });
  });

  const none = (whose: string) => [
    `no manifest digest can be preserved: ${whose} keeps no manifests; config and layers will be the same`,
  ];

  test("where one side keeps no manifests, that is said, whichever side was told", async () => {
    expect(await receiveInto({ id, diffIds }, {}, { preserveDigest: true })).toEqual(["app:v1"]);
    expect(asked).not.toHaveProperty("keepsManifests");
    expect(notes.splice(0)).toEqual(none("a fake"));
    await receiveInto({ id, diffIds }, {}, { manifestOf: descriptor.digest, about: { preserve: true } });
    expect(notes.splice(0)).toEqual(none("where the image comes from"));
    await receiveInto({ id, diffIds }, {}, { manifestOf: descriptor.digest });
    expect(notes).toEqual([]);
  });
});
