import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { EngineError } from "../../../src/engine/engine-error.ts";
import { newRunId } from "../../../src/run/run-id.ts";
import { MEDIA_TYPE } from "../../../src/image/manifest.ts";
import { parseReference } from "../../../src/image/reference.ts";
import { Failure } from "../../../src/output/errors.ts";
import {
  probeImage,
  type ProbedImage,
  type ProbeOptions,
  type SpooledLayer,
} from "../../../src/engine-push/probe-image.ts";
import { pushSelected } from "../../../src/engine-push/push-selected.ts";
import type { EmbeddedRegistry } from "../../../src/registry/embedded/server.ts";
import { endRegistry, openRegistry } from "../registry/embedded/client.ts";
import { image, layer } from "../registry/embedded/test-images.ts";
import { containerd, graphdriver, pushingEngine, type PushingEngine } from "./pushing-engine.ts";

const app = parseReference("app");
const [base, libraries, top] = [layer("base"), layer("libraries"), layer("top")];
const amd64 = image([base, libraries, top]);
const known = [base, libraries, top].map((it) => ({ ...it, known: [it.digest] }));

let folder: string;
let registry: EmbeddedRegistry;
let told: string[];
let options: ProbeOptions;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "embedded-"));
  registry = await openRegistry(folder);
  told = [];
  options = {
    registry,
    runIds: [newRunId()],
    signal: new AbortController().signal,
    onDetail: (text) => told.push(text),
  };
});

afterEach(async () => {
  vi.useRealTimers();
  await endRegistry(registry, folder);
});

async function spooled(): Promise<string[]> {
  return await readdir(join(folder, (await readdir(folder))[0] ?? ""));
}

const uploads = ({ sent }: PushingEngine): number => sent.filter((line) => line.startsWith("POST")).length;

/** A graph driver's image ID is the digest of its config. */
const graphdriverEngine = (layers: Parameters<typeof graphdriver>[0], packed = layers): PushingEngine =>
  pushingEngine(graphdriver(layers, packed), { id: image(layers).config.digest });

describe("a probe", () => {
  test("shows nothing, and no password, to an engine of another machine", async () => {
    const engine = Object.assign(pushingEngine(containerd([amd64])), { reachesUs: false });
    expect(await probeImage(engine, app, options)).toBeUndefined();
    expect(engine.sent).toEqual([]);
    expect(told.join()).toContain("the engine is on another machine");
  });

  test("of a containerd store uploads the config and nothing else", async () => {
    const engine = pushingEngine(containerd([amd64]));
    const probed = await probeImage(engine, app, options);
    expect(probed).toMatchObject({
      descriptor: amd64.descriptor,
      bytes: amd64.manifest,
      config: amd64.config.bytes,
      platform: "linux/amd64",
      diffIds: [base.diffId, libraries.diffId, top.diffId],
      index: undefined,
      uploaded: [],
    });
    expect(probed?.layers.map(({ digest, diffId, size }) => [digest, diffId, size])).toEqual(
      amd64.layers.map(({ digest, diffId, bytes }) => [digest, diffId, bytes.length]),
    );
    expect(uploads(engine)).toBe(1);
    expect(engine.sent.filter((line) => line.startsWith("PUT manifests"))).toHaveLength(1);
    expect([...engine.names]).toEqual([]);
    expect(await spooled()).toEqual([]);
    expect(told).toEqual([]);
  });

  test("of an engine that does not tell media types pushes twice, and uploads the config the second time", async () => {
    const engine = pushingEngine(containerd([amd64], { tellsTypes: false }));
    expect(await probeImage(engine, app, options)).toMatchObject({ config: amd64.config.bytes });
    expect(uploads(engine)).toBe(1);
    expect(engine.sent.filter((line) => line.startsWith("PUT manifests"))).toHaveLength(2);
  });

  test("of a graph driver that knows all digests uploads the config only; sizes it does not know", async () => {
    const engine = graphdriverEngine(known);
    const probed = await probeImage(engine, app, options);
    expect(probed?.layers.map(({ digest, size }) => [digest, size])).toEqual(
      known.map(({ digest }) => [digest, undefined]),
    );
    expect(uploads(engine)).toBe(1);
  });

  test("is refused the last manifest, so that the engine makes no note of the push", async () => {
    let end: unknown;
    const way = containerd([amd64]);
    const engine = pushingEngine(async (ask, push) => {
      await way(ask, push).catch((error: unknown) => {
        end = error;
        throw error;
      });
    });
    expect(await probeImage(engine, app, options)).toBeDefined();
    expect(end).toBeInstanceOf(EngineError);
    expect(String(end)).toContain("403");
  });

  test("is given up when the engine begins to compress a layer: nothing is taken", async () => {
    const engine = graphdriverEngine(known.map((it) => ({ ...it, known: [] })));
    expect(await probeImage(engine, app, options)).toBeUndefined();
    expect(engine.sent.filter((line) => line.startsWith("PATCH"))).toEqual([]);
    expect([...engine.names]).toEqual([]);
    expect(await spooled()).toEqual([]);
    expect(told.join()).toContain("knows no digest for a layer");
  });

  test("takes along what is needed anyway and has no digest", async () => {
    const engine = graphdriverEngine([...known.slice(0, 2), { ...top, known: [] }]);
    const probed = await probeImage(engine, app, { ...options, wanted: new Set([top.diffId]) });
    expect(probed?.layers[2]).toMatchObject({ digest: top.digest, diffId: top.diffId, size: top.bytes.length });
    expect(probed?.uploaded).toMatchObject([{ digest: top.digest, diffId: top.diffId, size: top.bytes.length }]);
    expect(await contentOf(probed?.uploaded[0])).toEqual(top.bytes);
    expect(await spooled()).toHaveLength(1);
  });

  test.each([
    ["another layer has no digest either", { wanted: new Set([top.diffId]) }, [base, top], "is not wanted"],
    ["it is too much", { wanted: new Set([top.diffId]), maxBytes: 999 }, [top], "too many bytes"],
  ])("is given up although something is needed, when %s", async (_, more, unknown, why) => {
    const layers = known.map((it) => ({
      ...it,
      total: 1_000,
      known: unknown.some(({ digest }) => digest === it.digest) ? [] : it.known,
    }));
    expect(await probeImage(graphdriverEngine(layers), app, { ...options, ...more })).toBeUndefined();
    expect(told.join()).toContain(why);
    expect(await spooled()).toEqual([]);
  });

  test("takes no other blob in place of one that it asked for", async () => {
    const engine = pushingEngine(async (ask) => {
      await ask("HEAD", `blobs/${amd64.config.digest}`, { headers: { accept: MEDIA_TYPE.ociConfig } });
      await ask("POST", `blobs/uploads/?digest=${top.digest}`, { body: top.bytes });
    });
    const late = pushingEngine(async (ask) => {
      await ask("HEAD", `blobs/${amd64.config.digest}`, { headers: { accept: MEDIA_TYPE.ociConfig } });
      const { location } = (await ask("POST", "blobs/uploads/")).headers;
      await ask("PUT", `${location}?digest=${top.digest}`, { body: top.bytes });
    });
    expect(await probeImage(engine, app, options)).toBeUndefined();
    expect(await probeImage(late, app, options)).toBeUndefined();
    expect(told).toEqual([
      expect.stringContaining("knows no digest for a layer"),
      expect.stringContaining("a blob that is not wanted"),
    ]);
    await vi.waitFor(async () => expect(await spooled()).toEqual([])); // the answer is under way, the engine has gone
  });

  test("of an index chooses by platform, and passes over attestations", async () => {
    const arm64 = image([base], "arm64");
    const attestation = image([layer("who built it")], "unknown");
    const engine = pushingEngine(containerd([attestation, arm64, amd64], { index: true }));
    const probed = async (platform?: string): Promise<ProbedImage | undefined> =>
      await probeImage(engine, app, { ...options, ...(platform !== undefined && { platform }) });
    expect(await probed("linux/arm64")).toMatchObject({ descriptor: arm64.descriptor, platform: "linux/arm64" });
    const own = await probed();
    expect(own).toMatchObject({ descriptor: amd64.descriptor, config: amd64.config.bytes });
    expect(own?.index?.bytes.length).toBe(own?.index?.descriptor.size);
    expect(await probed("linux/s390x")).toBeUndefined();
    expect(told.join()).toContain("no manifest for linux/s390x");
    expect(await spooled()).toEqual([]);
  });

  test("of an image whose config and manifest disagree is of no use", async () => {
    const liar = { ...amd64, config: image([base]).config };
    const { manifest } = image([base, libraries]);
    const way = containerd([
      {
        ...liar,
        manifest: Buffer.from(manifest.toString().replace(image([base, libraries]).config.digest, liar.config.digest)),
      },
    ]);
    expect(await probeImage(pushingEngine(way), app, options)).toBeUndefined();
    expect(told.join()).toContain("2 layers, its config 1");
  });

  test("is over at once when the engine cannot reach this process", async () => {
    const engine = pushingEngine(async () => {
      throw new EngineError("dial tcp 127.0.0.1: connect: connection refused");
    });
    expect(await probeImage(engine, app, options)).toBeUndefined();
    expect(told.join()).toContain("connection refused");
    expect([...engine.names]).toEqual([]);
  });

  test.each([
    ["whose question never comes", 10_000, async () => {}, "does not reach this process"],
    [
      "that stops in the middle",
      30_000,
      async (ask: () => Promise<unknown>) => void (await ask()),
      "makes no progress",
    ],
  ])("does not wait for ever for an engine %s", async (_, ms, begin, why) => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    let begun!: () => void;
    const waits = new Promise<void>((resolve) => (begun = resolve));
    const engine = pushingEngine(async (ask, { signal }) => {
      await begin(async () => await ask("HEAD", `blobs/${base.digest}`));
      begun();
      await new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason as Error)));
    });
    const probing = probeImage(engine, app, options);
    await waits;
    await vi.advanceTimersByTimeAsync(ms);
    expect(await probing).toBeUndefined();
    expect(told.join()).toContain(why);
  });

  test("does not wait for an engine's own second attempts", async () => {
    const engine = pushingEngine(async (_ask, { onProgress, signal }) => {
      onProgress?.({ id: "0123456789ab", status: "Retrying in 5 seconds" });
      signal?.throwIfAborted();
    });
    expect(await probeImage(engine, app, options)).toBeUndefined();
    expect(told.join()).toContain("try again");
  });

  test("rejects when it is aborted, when the engine is gone, and when the spool breaks; the name goes", async () => {
    const stop = new AbortController();
    const aborted = pushingEngine(async (_ask, { signal }) => {
      stop.abort(new Error("enough"));
      signal?.throwIfAborted();
    });
    await expect(probeImage(aborted, app, { ...options, signal: stop.signal })).rejects.toThrow("enough");
    const gone = pushingEngine(async () => {
      throw new Failure("engine-unreachable", "it is gone");
    });
    await expect(probeImage(gone, app, options)).rejects.toThrow("it is gone");
    await registry.openSpool();
    await rm(join(folder, (await readdir(folder))[0] ?? ""), { recursive: true });
    const unlucky = pushingEngine(containerd([amd64]));
    await expect(probeImage(unlucky, app, options)).rejects.toThrow("ENOENT");
    for (const engine of [aborted, gone, unlucky]) expect([...engine.names]).toEqual([]);
  });
});

describe("a push of what is wanted", () => {
  let layers: SpooledLayer[];
  beforeEach(() => void (layers = []));

  const want = async (
    engine: PushingEngine,
    probed: ProbedImage | undefined,
    digests: string[],
  ): Promise<Set<string>> => {
    if (probed === undefined) throw new Error(told.join());
    return await pushSelected(engine, app, probed, new Set(digests), { ...options, onLayer: (it) => layers.push(it) });
  };

  test.each([
    ["a containerd store", () => pushingEngine(containerd([amd64]))],
    ["a graph driver", () => graphdriverEngine(known)],
  ])("from %s uploads that and nothing else", async (_, start) => {
    const engine = start();
    const probed = await probeImage(engine, app, options);
    const before = uploads(engine);
    expect(await want(engine, probed, [top.digest])).toEqual(new Set());
    expect(uploads(engine) - before).toBe(1);
    expect(layers).toMatchObject([{ digest: top.digest, diffId: top.diffId, size: top.bytes.length }]);
    expect(await contentOf(layers[0])).toEqual(top.bytes);
    expect([...engine.names]).toEqual([]);
    expect(await spooled()).toHaveLength(1);
  });

  test("gives a layer away that is still coming, and says so when it breaks off", async () => {
    const probed = await probeImage(pushingEngine(containerd([amd64])), app, options);
    const half = pushingEngine(async (ask) => {
      await ask("HEAD", `blobs/${top.digest}`, { headers: { accept: MEDIA_TYPE.ociLayerGzip } });
      const { location = "" } = (await ask("POST", "blobs/uploads/")).headers;
      const put = ask("PUT", `${location}?digest=${top.digest}`, {
        headers: { "content-length": top.bytes.length },
        body: Readable.from([top.bytes.subarray(0, 20)]),
      });
      put.catch(() => {});
      await vi.waitFor(() => expect(layers).toHaveLength(1));
      throw new EngineError("out of breath");
    });
    await expect(want(half, probed, [top.digest])).rejects.toThrow("stopped in the middle of pushing");
    expect(layers).toMatchObject([{ digest: top.digest, diffId: top.diffId, size: top.bytes.length }]);
    await expect(contentOf(layers[0])).rejects.toThrow("given up");
  });

  test("of nothing does not trouble the engine", async () => {
    const engine = graphdriverEngine(known);
    const probed = await probeImage(engine, app, options);
    const before = engine.sent.length;
    expect(await want(engine, probed, [])).toEqual(new Set());
    expect(engine.sent.length).toBe(before);
  });

  test("from a graph driver that packs otherwise brings the layer under another digest, proven by its diff ID", async () => {
    const repacked = known.map((it, at) => ({ ...it, ...layer(["base", "libraries", "top"][at] ?? "", 0) }));
    const engine = graphdriverEngine(known, repacked);
    expect(await want(engine, await probeImage(engine, app, options), [libraries.digest])).toEqual(new Set());
    expect(layers).toMatchObject([{ digest: repacked[1]?.digest, diffId: libraries.diffId }]);
    expect(layers[0]?.digest).not.toBe(libraries.digest);
  });

  test("is not satisfied by another digest that the engine knows for the layer", async () => {
    const elsewhere = layer("libraries", 0);
    const engine = graphdriverEngine(
      known.map((it) => (it.diffId === libraries.diffId ? { ...it, known: [it.digest, elsewhere.digest] } : it)),
    );
    expect(await want(engine, await probeImage(engine, app, options), [libraries.digest])).toEqual(new Set());
    expect(layers).toMatchObject([{ diffId: libraries.diffId }]);
  });

  test("keeps nothing that is not a wanted layer", async () => {
    const engine = graphdriverEngine(known);
    const probed = await probeImage(engine, app, options);
    const other = graphdriverEngine(
      known,
      known.map((it) => ({ ...it, ...layer("something else") })),
    );
    expect(await want(other, probed, [top.digest])).toEqual(new Set([top.digest]));
    expect(layers).toEqual([]);
    expect(await spooled()).toEqual([]);
    expect(told.join()).toContain("did not push all wanted layers");
  });

  test("from a store whose image is another one by now keeps nothing of that", async () => {
    const engine = pushingEngine(containerd([amd64]));
    const probed = await probeImage(engine, app, options);
    const way = containerd([{ ...amd64, layers: [base, libraries, layer("not it")] }]);
    const missing = await want(pushingEngine(way), probed, [top.digest]);
    expect(missing).toEqual(new Set([top.digest]));
    expect(await spooled()).toEqual([]);
  });

  test("tells what did not come when the engine stops on the way", async () => {
    const engine = graphdriverEngine(known);
    const probed = await probeImage(engine, app, options);
    const failing = pushingEngine(async () => {
      throw new EngineError("no such image");
    });
    expect(await want(failing, probed, [top.digest, base.digest])).toEqual(new Set([top.digest, base.digest]));
    expect(told.join()).toContain("no such image");
  });
});

async function contentOf(layer: SpooledLayer | undefined): Promise<Buffer | undefined> {
  return layer && (await buffer(await layer.open()));
}
