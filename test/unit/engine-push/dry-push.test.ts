import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { EngineError } from "../../../src/engine/engine-error.ts";
import { MEDIA_TYPE } from "../../../src/image/manifest.ts";
import { parseReference } from "../../../src/image/reference.ts";
import { Failure } from "../../../src/output/errors.ts";
import { dryPush, type DryPushResult } from "../../../src/engine-push/dry-push.ts";
import { image, layer } from "../registry/embedded/test-images.ts";
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
import { containerd, pushingEngine } from "./pushing-engine.ts";
import { AMD64, ARM64, asPlatform } from "../image/platforms.ts";
import type { Platform } from "../../../src/image/platform.ts";

const app = parseReference("app");

let setup: PushSetup;
beforeEach(async () => void (setup = await openPushSetup()));
afterEach(async () => {
  vi.useRealTimers();
  await setup[Symbol.asyncDispose]();
});

describe("a dry push", () => {
  test("sends nothing, and no password, to an engine on another machine", async () => {
    const engine = Object.assign(pushingEngine(containerd([amd64])), { reachesUs: false });
    expect(await dryPush(engine, app, setup.options)).toBeUndefined();
    expect(engine.sent).toEqual([]);
    expect(setup.details.join()).toContain("the engine is on another machine");
  });

  test("of a containerd store uploads the config and nothing else", async () => {
    const engine = pushingEngine(containerd([amd64]));
    const dryPushed = await dryPush(engine, app, setup.options);
    expect(dryPushed).toMatchObject({
      descriptor: amd64.descriptor,
      bytes: amd64.manifest,
      config: amd64.config.bytes,
      platform: AMD64,
      diffIds: [base.diffId, libraries.diffId, top.diffId],
      index: undefined,
      uploaded: [],
    });
    expect(dryPushed?.layers.map(({ digest, diffId, size }) => [digest, diffId, size])).toEqual(
      amd64.layers.map(({ digest, diffId, bytes }) => [digest, diffId, bytes.length]),
    );
    expect(uploads(engine)).toBe(1);
    expect(engine.sent.filter((line) => line.startsWith("PUT manifests"))).toHaveLength(1);
    expect([...engine.names]).toEqual([]);
    expect(await setup.spooled()).toEqual([]);
    expect(setup.details).toEqual([]);
  });

  test("of an engine that does not name media types pushes twice, and uploads the config the second time", async () => {
    const engine = pushingEngine(containerd([amd64], { namesMediaTypes: false }));
    expect(await dryPush(engine, app, setup.options)).toMatchObject({ config: amd64.config.bytes });
    expect(uploads(engine)).toBe(1);
    expect(engine.sent.filter((line) => line.startsWith("PUT manifests"))).toHaveLength(2);
  });

  test("of a graph driver that knows all digests uploads only the config; sizes are unknown", async () => {
    const engine = graphdriverEngine(withDigests);
    const dryPushed = await dryPush(engine, app, setup.options);
    expect(dryPushed?.layers.map(({ digest, size }) => [digest, size])).toEqual(
      withDigests.map(({ digest }) => [digest, undefined]),
    );
    expect(uploads(engine)).toBe(1);
  });

  test("is answered with an error at the last manifest, so that the engine does not record the push", async () => {
    let end: unknown;
    const pushImage = containerd([amd64]);
    const engine = pushingEngine(async (send, push) => {
      await pushImage(send, push).catch((error: unknown) => {
        end = error;
        throw error;
      });
    });
    expect(await dryPush(engine, app, setup.options)).toBeDefined();
    expect(end).toBeInstanceOf(EngineError);
    expect(String(end)).toContain("403");
  });

  test("is aborted when the engine begins to compress a layer: no byte is accepted", async () => {
    const engine = graphdriverEngine(withDigests.map((it) => ({ ...it, known: [] })));
    expect(await dryPush(engine, app, setup.options)).toBeUndefined();
    expect(engine.sent.filter((line) => line.startsWith("PATCH"))).toEqual([]);
    expect([...engine.names]).toEqual([]);
    expect(await setup.spooled()).toEqual([]);
    expect(setup.details.join()).toContain("knows no digest for a layer");
  });

  test("accepts a wanted layer that has no digest", async () => {
    const engine = graphdriverEngine([...withDigests.slice(0, 2), { ...top, known: [] }]);
    const dryPushed = await dryPush(engine, app, { ...setup.options, wanted: new Set([top.diffId]) });
    expect(dryPushed?.layers[2]).toMatchObject({ digest: top.digest, diffId: top.diffId, size: top.bytes.length });
    expect(dryPushed?.uploaded).toMatchObject([{ digest: top.digest, diffId: top.diffId, size: top.bytes.length }]);
    expect(await contentOf(dryPushed?.uploaded[0])).toEqual(top.bytes);
    expect(await setup.spooled()).toHaveLength(1);
  });

  test.each([
    ["another layer has no digest either", { wanted: new Set([top.diffId]) }, [base, top], "is not wanted"],
    ["the wanted layer is too large", { wanted: new Set([top.diffId]), maxBytes: 999 }, [top], "too many bytes"],
  ])("is aborted in spite of a wanted layer if %s", async (_, more, unknown, why) => {
    const layers = withDigests.map((it) => ({
      ...it,
      total: 1_000,
      known: unknown.some(({ digest }) => digest === it.digest) ? [] : it.known,
    }));
    expect(await dryPush(graphdriverEngine(layers), app, { ...setup.options, ...more })).toBeUndefined();
    expect(setup.details.join()).toContain(why);
    expect(await setup.spooled()).toEqual([]);
  });

  test("accepts no other blob in place of the requested one", async () => {
    const engine = pushingEngine(async (send) => {
      await send("HEAD", `blobs/${amd64.config.digest}`, { headers: { accept: MEDIA_TYPE.ociConfig } });
      await send("POST", `blobs/uploads/?digest=${top.digest}`, { body: top.bytes });
    });
    const late = pushingEngine(async (send) => {
      await send("HEAD", `blobs/${amd64.config.digest}`, { headers: { accept: MEDIA_TYPE.ociConfig } });
      const { location } = (await send("POST", "blobs/uploads/")).headers;
      await send("PUT", `${location}?digest=${top.digest}`, { body: top.bytes });
    });
    expect(await dryPush(engine, app, setup.options)).toBeUndefined();
    expect(await dryPush(late, app, setup.options)).toBeUndefined();
    expect(setup.details).toEqual([
      expect.stringContaining("knows no digest for a layer"),
      expect.stringContaining("a blob that is not wanted"),
    ]);
    await vi.waitFor(async () => expect(await setup.spooled()).toEqual([])); // the engine disconnects before the answer arrives
  });

  test("of an index chooses the manifest by platform, and ignores attestations", async () => {
    const arm64 = image([base], "arm64");
    const attestation = image([layer("attestation")], "unknown");
    const engine = pushingEngine(containerd([attestation, arm64, amd64], { index: true }));
    const push = async (platform?: Platform): Promise<DryPushResult | undefined> =>
      await dryPush(engine, app, { ...setup.options, ...(platform !== undefined && { platform }) });
    expect(await push(ARM64)).toMatchObject({ descriptor: arm64.descriptor, platform: ARM64 });
    const own = await push();
    expect(own).toMatchObject({ descriptor: amd64.descriptor, config: amd64.config.bytes });
    expect(own?.index?.bytes.length).toBe(own?.index?.descriptor.size);
    expect(await push(asPlatform("linux/s390x"))).toBeUndefined();
    expect(setup.details.join()).toContain("no manifest for linux/s390x");
    expect(await setup.spooled()).toEqual([]);
  });

  test("of an image whose config and manifest disagree fails", async () => {
    const mismatched = { ...amd64, config: image([base]).config };
    const { manifest } = image([base, libraries]);
    const pushImage = containerd([
      {
        ...mismatched,
        manifest: Buffer.from(
          manifest.toString().replace(image([base, libraries]).config.digest, mismatched.config.digest),
        ),
      },
    ]);
    expect(await dryPush(pushingEngine(pushImage), app, setup.options)).toBeUndefined();
    expect(setup.details.join()).toContain("2 layers, its config 1");
  });

  test("ends at once when the engine cannot reach this process", async () => {
    const engine = pushingEngine(async () => {
      throw new EngineError("dial tcp 127.0.0.1: connect: connection refused");
    });
    expect(await dryPush(engine, app, setup.options)).toBeUndefined();
    expect(setup.details.join()).toContain("connection refused");
    expect([...engine.names]).toEqual([]);
  });

  test.each([
    ["that sends no request", 10_000, async () => {}, "does not reach this process"],
    [
      "that stops in the middle",
      30_000,
      async (send: () => Promise<unknown>) => void (await send()),
      "makes no progress",
    ],
  ])("gives up on an engine %s", async (_, ms, begin, why) => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    let begun!: () => void;
    const waits = new Promise<void>((resolve) => (begun = resolve));
    const engine = pushingEngine(async (send, { signal }) => {
      await begin(async () => await send("HEAD", `blobs/${base.digest}`));
      begun();
      await new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason as Error)));
    });
    const pushing = dryPush(engine, app, setup.options);
    await waits;
    await vi.advanceTimersByTimeAsync(ms);
    expect(await pushing).toBeUndefined();
    expect(setup.details.join()).toContain(why);
  });

  test("does not wait for an engine's retries", async () => {
    const engine = pushingEngine(async (_send, { onProgress, signal }) => {
      onProgress?.({ id: "0123456789ab", status: "Retrying in 5 seconds" });
      signal?.throwIfAborted();
    });
    expect(await dryPush(engine, app, setup.options)).toBeUndefined();
    expect(setup.details.join()).toContain("first attempt failed");
  });

  test("rejects when it is aborted, when the engine disappears, and when the spool fails, and removes the temporary name", async () => {
    const stop = new AbortController();
    const aborted = pushingEngine(async (_send, { signal }) => {
      stop.abort(new Error("enough"));
      signal?.throwIfAborted();
    });
    await expect(dryPush(aborted, app, { ...setup.options, signal: stop.signal })).rejects.toThrow("enough");
    const gone = pushingEngine(async () => {
      throw new Failure("engine-unreachable", "it is gone");
    });
    await expect(dryPush(gone, app, setup.options)).rejects.toThrow("it is gone");
    await setup.registry.openSpool();
    await rm(join(setup.folder, (await readdir(setup.folder))[0] ?? ""), { recursive: true });
    const unlucky = pushingEngine(containerd([amd64]));
    await expect(dryPush(unlucky, app, setup.options)).rejects.toThrow("ENOENT");
    for (const engine of [aborted, gone, unlucky]) expect([...engine.names]).toEqual([]);
  });
});
