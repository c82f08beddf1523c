import type { PushRequest } from "../../src/request.ts";
import { describe, expect, test } from "vitest";
import { SECOND_WANT, CUTS_ON_DEMAND } from "../../src/conversation/features.ts";
import { parseAbout, type About, type WantedLayers } from "../../src/conversation/messages.ts";
import { NOTHING_OFFERED, type OfferedImage, type OfferOptions, type FoundImage } from "../../src/send/found-image.ts";
import type { Source } from "../../src/send/source.ts";
import { newRunId } from "../../src/run/run-id.ts";
import { digestOf } from "../../src/image/digest.ts";
import { MEDIA_TYPE, parseImageManifest, encodeManifest } from "../../src/image/manifest.ts";
import { outputTo } from "../../src/output/output.ts";
import { parseCompressOption } from "../../src/packing/compress-option.ts";
import { send } from "../../src/push.ts";
import { runBothSides } from "../../src/stdio-tunnel/in-process.ts";
import { detailText } from "../../src/output/detail-texts.ts";
import { AMD64 } from "./image/platforms.ts";

const said: string[] = [];
const output = outputTo((event) => {
  if (event.type === "detail") said.push(detailText(event));
});
const diffIds = [digestOf("layer")];

/** Sends an image to a receiver with this `want`. Resolves to the options of the offer, and to `about`. */
async function offerFor(
  request: Partial<PushRequest>,
  want: object,
  { ask, found, features = [CUTS_ON_DEMAND] }: { ask?: object; found?: Partial<FoundImage>; features?: string[] } = {},
): Promise<OfferOptions & { about: About; want: WantedLayers }> {
  let about: About | undefined;
  let offered: OfferOptions | undefined;
  const source: Source = {
    address: "a fake",
    check: async () => {},
    find: async () => ({
      diffIds,
      platform: AMD64,
      ...found,
      offer: async (options) => ((offered = options), NOTHING_OFFERED),
    }),
    [Symbol.asyncDispose]: async () => {},
  };
  await runBothSides(
    {
      async sender(tunnel, signal) {
        await send(tunnel, source, { connection: { kind: "spawned" }, ...request }, { output, signal, env: {} });
      },
      async receiver(tunnel) {
        await tunnel.send({ type: "ask", image: "app", run: newRunId(), ...ask });
        about = parseAbout(await tunnel.next("about"));
        await tunnel.send({ type: "want", diffIds, whole: false, nothing: false, ...want });
        await tunnel.next("offer");
        const counts = { layersSent: 1, layersPresent: 0, bytesPresent: 0, bytesReceived: 0 };
        await tunnel.finish({ image: "app", id: digestOf("config"), ...counts });
      },
    },
    { tool: "0.1.0-test", features, signal: new AbortController().signal },
  );
  if (offered?.want.kind !== "layers" || about === undefined) expect.fail("no layers were offered");
  return { ...offered, want: offered.want, about };
}

test("answers a second `want`, for layers that the receiver has lost, with a second offer", async () => {
  const offered: string[][] = [];
  let ended = 0;
  const offer = async ({ want }: OfferOptions): Promise<OfferedImage> => {
    offered.push([...want.diffIds]);
    return { ...NOTHING_OFFERED, [Symbol.asyncDispose]: async () => void ended++ };
  };
  const source: Source = {
    address: "a fake",
    check: async () => {},
    find: async () => ({ diffIds, platform: AMD64, offer }),
    [Symbol.asyncDispose]: async () => {},
  };
  await runBothSides(
    {
      async sender(tunnel, signal) {
        await send(tunnel, source, { connection: { kind: "spawned" } }, { output, signal, env: {} });
      },
      async receiver(tunnel) {
        expect(tunnel.peer.features).toContain(SECOND_WANT);
        await tunnel.send({ type: "ask", image: "app", run: newRunId() });
        await tunnel.next("about");
        await tunnel.send({ type: "want", diffIds: [], whole: false, nothing: true });
        await tunnel.next("offer");
        await tunnel.send({ type: "want", diffIds, whole: false, nothing: false });
        await tunnel.next("offer");
        const counts = { layersSent: 1, layersPresent: 0, bytesPresent: 0, bytesReceived: 0 };
        await tunnel.finish({ image: "app", id: digestOf("config"), ...counts });
      },
    },
    { tool: "0.1.0-test", features: [SECOND_WANT], signal: new AbortController().signal },
  );
  expect({ offered, ended }).toEqual({ offered: [diffIds], ended: 1 });
});

/** Returns how layers are packed for a receiver with this `want`, as `CODEC[:LEVEL]`. */
async function packingFor(request: Partial<PushRequest>, want: object): Promise<string> {
  const { codec, level } = (await offerFor(request, want)).packing;
  return [codec?.name ?? "plain", level].filter((word) => word !== undefined).join(":");
}

const codecs = ["brotli", "gzip"];

test("packs with the sender's option, else the receiver's, else the best codec that the receiver has", async () => {
  expect(await packingFor({ compress: parseCompressOption("gzip:9") }, { codecs, compress: "brotli:1" })).toBe(
    "gzip:9",
  );
  expect(await packingFor({}, { codecs, compress: "gzip:3" })).toBe("gzip:3");
  expect(await packingFor({}, { codecs, compress: "none" })).toBe("plain");
  expect(await packingFor({}, { codecs })).toBe("brotli");
});

test("does not pack layers for a receiver without codecs, or in the same process", async () => {
  expect(await packingFor({}, {})).toBe("plain");
  expect(await packingFor({ connection: { kind: "in-process", with: "engine" } }, { codecs })).toBe("plain");
});

test("rejects a codec that the receiver lacks before anything is sent", async () => {
  await expect(packingFor({ compress: parseCompressOption("gzip") }, { codecs: ["brotli"] })).rejects.toMatchObject({
    code: "usage",
    message: "--compress gzip: the receiving side has no gzip",
  });
});

test("sends layers by delta if both sides agree and there is a link between them", async () => {
  const cuts = async (request: Partial<PushRequest>, delta: boolean): Promise<boolean> =>
    (await offerFor(request, { codecs, delta })).want.delta;
  said.length = 0;
  expect(await cuts({}, true)).toBe(true);
  expect(said).not.toContainEqual(expect.stringContaining("whole"));
  expect(await cuts({}, false)).toBe(false);
  expect(said).toContain("missing layers are sent whole: the receiver wants whole layers");
  expect(await cuts({ delta: "never" }, true)).toBe(false);
  expect(said).toContain("missing layers are sent whole: --delta never was given");
  const older = await offerFor({}, { codecs, delta: true }, { features: [] });
  expect(older.want.delta).toBe(false);
  expect(said).toContain("missing layers are sent whole: the remote side has another version of docker-over-ssh");
  expect(await cuts({ connection: { kind: "in-process", with: "engine" } }, true)).toBe(false);
  expect(said).toContain("missing layers are sent whole: one side is an engine alone");
});

describe("a manifest that must be preserved", () => {
  const blob = (text: string) => ({ mediaType: MEDIA_TYPE.ociLayerGzip, digest: digestOf(text), size: 3 });
  const manifestOf = (layers: string[], annotations = {}) => {
    const manifest = {
      mediaType: MEDIA_TYPE.ociManifest,
      config: blob("config"),
      layers: layers.map(blob),
      annotations,
    };
    return parseImageManifest(encodeManifest(manifest).bytes);
  };
  const manifest = manifestOf(["packed"]);
  const found = { manifest: async () => manifest };
  const keepsManifests = true;

  test.each<[string, Partial<PushRequest>, object]>([
    ["this side", { preserveDigest: true }, { keepsManifests }],
    ["the receiver", {}, { keepsManifests, preserve: true }],
  ])(
    "is sent in `about`, and layers are sent as the blobs that it names: %s has the option",
    async (_, request, ask) => {
      const { about, ...offered } = await offerFor(request, { codecs, delta: true }, { ask, found });
      expect(about).toMatchObject({ preserve: true, manifest });
      expect(offered).toMatchObject({ manifest, want: { delta: false } });
    },
  );

  test("is not requested without the option, or if one side stores no manifests; layers are then sent as without the option", async () => {
    const unasked = { manifest: () => expect.fail("the manifest must not be requested") };
    const plain = await offerFor({}, { delta: true }, { ask: { keepsManifests }, found: unasked });
    expect(plain.about).not.toHaveProperty("preserve");
    const kept = { preserveDigest: true };
    const there = await offerFor(kept, { delta: true }, { found: unasked });
    const here = await offerFor(kept, { delta: true }, { ask: { keepsManifests } });
    for (const { about, manifest: none, want } of [there, here]) {
      expect(about).toMatchObject({ preserve: true });
      expect([about.manifest, none, want.delta]).toEqual([undefined, undefined, true]);
    }
  });

  test.each<[string, Partial<FoundImage>]>([
    ["the engine does not return it", { manifest: async () => undefined }],
    ["it does not name a blob for each layer", { manifest: async () => manifestOf(["one", "two"]) }],
    ["it is larger than 512 kB", { manifest: async () => manifestOf(["one"], { long: "x".repeat(512_000) }) }],
    [
      `it names the layer ${diffIds[0]} twice, as different blobs`,
      { diffIds: [...diffIds, ...diffIds], manifest: async () => manifestOf(["one", "two"]) },
    ],
  ])("causes an error if it cannot be preserved: %s", async (why, image) => {
    const sent = offerFor({ preserveDigest: true }, {}, { ask: { keepsManifests }, found: image });
    await expect(sent).rejects.toMatchObject({
      code: "not-verified",
      message: `the manifest of the image cannot be preserved: ${why}`,
    });
  });

  test("is preserved if it names a layer twice as the same blob", async () => {
    const twice = { diffIds: [...diffIds, ...diffIds], manifest: async () => manifestOf(["one", "one"]) };
    const { about } = await offerFor({ preserveDigest: true }, {}, { ask: { keepsManifests }, found: twice });
    expect(about.manifest?.layers).toHaveLength(2);
  });
});
