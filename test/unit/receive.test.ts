import { once } from "node:events";
import { beforeEach, describe, expect, test } from "vitest";
import { manifestText } from "../../src/conversation/fields.ts";
import { receiveLayerAnnouncements } from "../../src/conversation/layer-announcements.ts";
import { parseAsk, type Ask } from "../../src/conversation/ask.ts";
import { parseWant, type Want } from "../../src/conversation/messages.ts";
import type { ReceivedImage } from "../../src/receive/received-image.ts";
import type { Target } from "../../src/receive/target.ts";
import { digestOf } from "../../src/image/digest.ts";
import { MEDIA_TYPE, parseImageManifest, encodeManifest } from "../../src/image/manifest.ts";
import { readPullRequest } from "../../src/commands/pull.ts";
import { outputTo } from "../../src/output/output.ts";
import { noteText } from "../../src/output/texts.ts";
import { receive } from "../../src/pull.ts";
import { runBothSides } from "../../src/stdio-tunnel/in-process.ts";

const diffIds = ["one", "two"].map(digestOf);
const id = digestOf("config");
let asked: Ask | undefined;
let wanted: Want | undefined;
const notes: string[] = [];
const output = outputTo((event) => {
  if (event.type === "note") notes.push(noteText(event));
});

/** Receives an image into a fake target, which then contains `found`. Resolves to the names that the image was given. */
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
    namesFor: ([{ given }, ...others]) => [given, ...others.map((other) => other.given)],
    removeLeftovers: async () => [],
    indexes() {
      throw new Error("not asked for");
    },
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
    plan: async () => ({ layers: [], store: "layout", room: [] }),
    inspect: async () => found,
    ...(manifestOf !== undefined && { manifestOf: async () => manifestOf }),
    tag: async (_, to) => void names.push(...to),
    [Symbol.asyncDispose]: async () => {},
  };
  const { signal } = new AbortController();
  await runBothSides(
    {
      async sender(tunnel) {
        asked = parseAsk(await tunnel.next("ask"));
        await tunnel.send({ type: "about", diffIds, platform: "linux/amd64", configDigest: id, ...about });
        if (declines) wanted = parseWant(await tunnel.next("want"));
        await tunnel.next("result"); // after an empty offer
      },
      async receiver(tunnel, stop) {
        const request = readPullRequest("app:v1", { kind: "spawned" }, { preserveDigest }, {});
        await receive(tunnel, target, request, { output, env: {}, signal: stop });
      },
    },
    { tool: "0", signal, explain: (error) => error },
  );
  return names;
}

test("tags an image with the expected ID and layers", async () => {
  expect(await receiveInto({ id, diffIds }, { id })).toEqual(["app:v1"]);
});

test("tags a present image without waiting for the sender", async () => {
  expect(await receiveInto({ id, diffIds }, { id }, { declines: true })).toEqual(["app:v1"]);
  expect(wanted).toMatchObject({ kind: "nothing" });
});

test("identifies an image of unknown ID by its layers", async () => {
  expect(await receiveInto({ id: digestOf("an index"), diffIds }, {})).toEqual(["app:v1"]);
});

test.each([
  ["another config", { id: digestOf("other"), diffIds }, `its ID is ${digestOf("other")}`],
  ["other layers", { id, diffIds: diffIds.toReversed() }, "its layers differ"],
  ["no content", undefined, "it is not in the store"],
])("does not tag an image with %s", async (_, found, words) => {
  await expect(receiveInto(found, { id })).rejects.toMatchObject({
    code: "not-verified",
    message: expect.stringContaining(words) as string,
  });
});

test.each([
  ["a layer that is not wanted", [digestOf("three")]],
  ["the same layer twice", [diffIds[0], diffIds[0]]],
  ["an invalid diff ID", ["one"]],
])("reports a broken protocol if the sender announces %s", async (_, announced) => {
  const { signal } = new AbortController();
  const both = runBothSides(
    {
      async sender(tunnel, stop) {
        await tunnel.next("want");
        const blob = { mediaType: MEDIA_TYPE.ociLayer, digest: digestOf("blob"), size: 3, pieces: "too" };
        for (const diffId of announced) await tunnel.send({ type: "layer", diffId, ...blob });
        await once(stop, "abort");
      },
      async receiver(tunnel, stop) {
        receiveLayerAnnouncements(tunnel, diffIds);
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

  test("tags an image with the sender's manifest", async () => {
    const manifestOf = descriptor.digest;
    expect(await receiveInto({ id, diffIds }, {}, { manifestOf, about, preserveDigest: true })).toEqual(["app:v1"]);
    expect(asked).toMatchObject({ storesManifests: true, preserve: true });
    expect(notes).toEqual([]);
  });

  test("does not tag an image with another manifest", async () => {
    await expect(receiveInto({ id, diffIds }, {}, { manifestOf: digestOf("other"), about })).rejects.toMatchObject({
      code: "not-verified",
      message: `the image's manifest in the store is ${digestOf("other")}, not the sender's`,
    });
  });

  const none = (whose: string) => [
    `no manifest digest can be preserved: ${whose} stores no manifests; config and layers will be the same`,
  ];

  test("prints a note that names the side that stores no manifests, whichever side has the option", async () => {
    expect(await receiveInto({ id, diffIds }, {}, { preserveDigest: true })).toEqual(["app:v1"]);
    expect(asked).not.toHaveProperty("storesManifests");
    expect(notes.splice(0)).toEqual(none("a fake"));
    await receiveInto({ id, diffIds }, {}, { manifestOf: descriptor.digest, about: { preserve: true } });
    expect(notes.splice(0)).toEqual(none("the source of the image"));
    await receiveInto({ id, diffIds }, {}, { manifestOf: descriptor.digest });
    expect(notes).toEqual([]);
  });
});
