import { Readable } from "node:stream";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { EngineError } from "../../../src/engine/engine-error.ts";
import { MEDIA_TYPE } from "../../../src/image/manifest.ts";
import { parseReference } from "../../../src/image/reference.ts";
import { dryPush, type DryPushResult, type SpooledLayer } from "../../../src/engine-push/dry-push.ts";
import { pushSelected } from "../../../src/engine-push/push-selected.ts";
import { layer } from "../registry/embedded/test-images.ts";
import {
  amd64,
  base,
  contentOf,
  graphdriverEngine,
  libraries,
  openPushSetup,
  top,
  uploads,
  withDigests,
  type PushSetup,
} from "./push-setup.ts";
import { containerd, pushingEngine, type PushingEngine } from "./pushing-engine.ts";

const app = parseReference("app");

let setup: PushSetup;
beforeEach(async () => void (setup = await openPushSetup()));
afterEach(async () => await setup[Symbol.asyncDispose]());

describe("a push of wanted layers", () => {
  let layers: SpooledLayer[];
  beforeEach(() => void (layers = []));

  const want = async (
    engine: PushingEngine,
    dryPushed: DryPushResult | undefined,
    digests: string[],
  ): Promise<Set<string>> => {
    if (dryPushed === undefined) throw new Error(setup.details.join());
    const onLayer = (it: SpooledLayer) => layers.push(it);
    return (await pushSelected(engine, app, dryPushed, new Set(digests), { ...setup.options, onLayer })).missing;
  };

  test.each([
    ["a containerd store", () => pushingEngine(containerd([amd64]))],
    ["a graph driver", () => graphdriverEngine(withDigests)],
  ])("from %s uploads nothing else", async (_, start) => {
    const engine = start();
    const dryPushed = await dryPush(engine, app, setup.options);
    const before = uploads(engine);
    expect(await want(engine, dryPushed, [top.digest])).toEqual(new Set());
    expect(uploads(engine) - before).toBe(1);
    expect(layers).toMatchObject([{ digest: top.digest, diffId: top.diffId, size: top.bytes.length }]);
    expect(await contentOf(layers[0])).toEqual(top.bytes);
    expect([...engine.names]).toEqual([]);
    expect(await setup.spooled()).toHaveLength(1);
  });

  test("passes a layer on while it arrives, and rejects if it is truncated", async () => {
    const dryPushed = await dryPush(pushingEngine(containerd([amd64])), app, setup.options);
    const half = pushingEngine(async (send) => {
      await send("HEAD", `blobs/${top.digest}`, { headers: { accept: MEDIA_TYPE.ociLayerGzip } });
      const { location = "" } = (await send("POST", "blobs/uploads/")).headers;
      const put = send("PUT", `${location}?digest=${top.digest}`, {
        headers: { "content-length": top.bytes.length },
        body: Readable.from([top.bytes.subarray(0, 20)]),
      });
      put.catch(() => {});
      await vi.waitFor(() => expect(layers).toHaveLength(1));
      throw new EngineError("out of breath");
    });
    await expect(want(half, dryPushed, [top.digest])).rejects.toThrow("stopped in the middle of pushing");
    expect(layers).toMatchObject([{ digest: top.digest, diffId: top.diffId, size: top.bytes.length }]);
    await expect(contentOf(layers[0])).rejects.toThrow("given up");
  });

  test("of no layers sends the engine nothing", async () => {
    const engine = graphdriverEngine(withDigests);
    const dryPushed = await dryPush(engine, app, setup.options);
    const before = engine.sent.length;
    expect(await want(engine, dryPushed, [])).toEqual(new Set());
    expect(engine.sent.length).toBe(before);
  });

  test("from a graph driver that compresses differently accepts the layer with another digest, verified by its diff ID", async () => {
    const repacked = withDigests.map((it, at) => ({ ...it, ...layer(["base", "libraries", "top"][at] ?? "", 0) }));
    const engine = graphdriverEngine(withDigests, repacked);
    expect(await want(engine, await dryPush(engine, app, setup.options), [libraries.digest])).toEqual(new Set());
    expect(layers).toMatchObject([{ digest: repacked[1]?.digest, diffId: libraries.diffId }]);
    expect(layers[0]?.digest).not.toBe(libraries.digest);
  });

  test("does not skip a layer for which the engine knows another digest", async () => {
    const elsewhere = layer("libraries", 0);
    const engine = graphdriverEngine(
      withDigests.map((it) => (it.diffId === libraries.diffId ? { ...it, known: [it.digest, elsewhere.digest] } : it)),
    );
    expect(await want(engine, await dryPush(engine, app, setup.options), [libraries.digest])).toEqual(new Set());
    expect(layers).toMatchObject([{ diffId: libraries.diffId }]);
  });

  test("stores only wanted layers", async () => {
    const engine = graphdriverEngine(withDigests);
    const dryPushed = await dryPush(engine, app, setup.options);
    const other = graphdriverEngine(
      withDigests,
      withDigests.map((it) => ({ ...it, ...layer("something else") })),
    );
    expect(await want(other, dryPushed, [top.digest])).toEqual(new Set([top.digest]));
    expect(layers).toEqual([]);
    expect(await setup.spooled()).toEqual([]);
    expect(setup.details.join()).toContain("did not push all wanted layers");
  });

  test("from a store whose image has changed stores nothing", async () => {
    const engine = pushingEngine(containerd([amd64]));
    const dryPushed = await dryPush(engine, app, setup.options);
    const pushImage = containerd([{ ...amd64, layers: [base, libraries, layer("not it")] }]);
    const missing = await want(pushingEngine(pushImage), dryPushed, [top.digest]);
    expect(missing).toEqual(new Set([top.digest]));
    expect(await setup.spooled()).toEqual([]);
  });

  test("returns the missing digests when the engine stops early", async () => {
    const engine = graphdriverEngine(withDigests);
    const dryPushed = await dryPush(engine, app, setup.options);
    const failing = pushingEngine(async () => {
      throw new EngineError("no such image");
    });
    expect(await want(failing, dryPushed, [top.digest, base.digest])).toEqual(new Set([top.digest, base.digest]));
    expect(setup.details.join()).toContain("no such image");
  });
});
