import { randomBytes } from "node:crypto";
import { mkdtemp, readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { ImageTransferOptions } from "../../../src/engine/engine-images.ts";
import { EngineError } from "../../../src/engine/engine-error.ts";
import { newRunId } from "../../../src/run/run-id.ts";
import { hexOf, type Digest } from "../../../src/image/digest.ts";
import { parseReference } from "../../../src/image/reference.ts";
import type { SpooledLayer } from "../../../src/engine-push/dry-push.ts";
import { pushByProgress } from "../../../src/engine-push/push-by-progress.ts";
import type { EmbeddedRegistry } from "../../../src/registry/embedded/server.ts";
import { detailText } from "../../../src/output/detail-texts.ts";
import { endRegistry, openRegistry } from "../registry/embedded/client.ts";
import { blob, layer, type TestLayer } from "../registry/embedded/test-images.ts";
import { pushingEngine, type PushingEngine } from "./pushing-engine.ts";

const app = parseReference("app");
const MB = 1_000_000;
/** Larger than the buffers between two programs. */
const large = (): TestLayer => layer(randomBytes(20 * MB).toString("latin1"), 0);

let folder: string;
let registry: EmbeddedRegistry;
let details: string[];
let layers: SpooledLayer[];
/** The number of uploaded bytes of each layer. */
let uploaded: Map<Digest, number>;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "embedded-"));
  registry = await openRegistry(folder);
  [details, layers, uploaded] = [[], [], new Map()];
});

afterEach(async () => {
  vi.useRealTimers();
  await endRegistry(registry, folder);
});

interface EngineBehaviour {
  /** The number of concurrent uploads. Default: Docker's default. */
  concurrency?: number;
  /** The order of uploads. Default: the topmost layer first, as in Docker. */
  order?: (bottomFirst: TestLayer[]) => TestLayer[];
  /** The bytes of a layer after which the progress names it. */
  namedAfter?: number;
}

/** A graph driver that knows no digests, requests none, and compresses each layer while it uploads it. */
function engineWithoutDigests(bottomFirst: TestLayer[], behaviour: EngineBehaviour = {}): PushingEngine {
  const { concurrency = 5, order = (all) => all.toReversed(), namedAfter = 100_000 } = behaviour;
  return pushingEngine(async (send, { onProgress }) => {
    const waiting = order(bottomFirst);
    const one = async (): Promise<void> => {
      for (let it = waiting.shift(); it !== undefined; it = waiting.shift()) {
        const report = progressOf(it, onProgress);
        const { location } = (await send("POST", "blobs/uploads/")).headers;
        const answer = await send("PATCH", location ?? "", { body: bytesOf(it, namedAfter, report) });
        await send("PUT", `${answer.headers.location}?digest=${it.digest}`, { headers: { "content-length": 0 } });
        if ((await send("HEAD", `blobs/${it.digest}`)).status !== 200) throw new EngineError("unknown blob");
        report("Pushed");
      }
    };
    for (const it of waiting) progressOf(it, onProgress)("Preparing");
    await Promise.all(Array.from({ length: concurrency }, one));
    await send("PUT", "manifests/new", { body: "{}" });
  });
}

function progressOf({ diffId }: TestLayer, onProgress: ImageTransferOptions["onProgress"]): (status: string) => void {
  return (status) => onProgress?.({ id: hexOf(diffId).slice(0, 12), status });
}

function bytesOf({ digest, bytes }: TestLayer, namedAfter: number, report: (status: string) => void): Readable {
  const pieces = function* (): Generator<Buffer> {
    for (let at = 0; at < bytes.length; at += 65_536) {
      if (at >= namedAfter) report("Pushing");
      const piece = bytes.subarray(at, at + 65_536);
      uploaded.set(digest, at + piece.length);
      yield piece;
    }
    report("Pushing");
  };
  return Readable.from(pieces(), { objectMode: false, highWaterMark: 65_536 });
}

async function pushWanted(engine: PushingEngine, wanted: TestLayer[]): Promise<ReadonlySet<Digest>> {
  return await pushByProgress(engine, app, new Set(wanted.map(({ diffId }) => diffId)), {
    registry,
    runIds: [newRunId()],
    signal: new AbortController().signal,
    onDetail: (detail) => details.push(detailText(detail)),
    onLayer: (it) => layers.push(it),
  });
}

async function spooled(): Promise<string[]> {
  return await readdir(join(folder, (await readdir(folder))[0] ?? ""));
}

describe("of an image that was never pushed,", () => {
  test("accepts the wanted layers, and only the identifying bytes of the other layers", async () => {
    const [base, libraries, config, top] = [large(), large(), layer("a few files"), layer("the newest")];
    const engine = engineWithoutDigests([base, libraries, config, top]);
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }); // so that the push must end before the idle timeout
    expect(await pushWanted(engine, [config, top])).toEqual(new Set());
    expect(layers.map(({ diffId }) => diffId).toSorted()).toEqual([config.diffId, top.diffId].toSorted());
    for (const it of layers) {
      const { bytes } = it.diffId === top.diffId ? top : config;
      expect(await buffer(await it.open())).toEqual(bytes);
    }
    for (const { digest } of [base, libraries]) expect(uploaded.get(digest) ?? 0).toBeLessThan(15 * MB);
    expect(engine.sent).not.toContain("PUT manifests/new");
    expect([...engine.names]).toEqual([]);
    expect(await spooled()).toHaveLength(2); // unfinished uploads are removed
    expect(details).toEqual([]);
  });

  test("accepts a large wanted layer while other layers are held back", async () => {
    const [base, top] = [large(), large()];
    expect(await pushWanted(engineWithoutDigests([base, top]), [top])).toEqual(new Set());
    expect(layers).toMatchObject([{ diffId: top.diffId, size: top.bytes.length }]);
    expect(uploaded.get(base.digest) ?? 0).toBeLessThan(15 * MB);
  });

  test.each([1, 2, 5])("accepts more layers than the engine uploads at once (%s)", async (concurrency) => {
    const wanted = Array.from({ length: 12 }, (_, at) => layer(`step ${at}`));
    expect(await pushWanted(engineWithoutDigests([large(), large(), ...wanted], { concurrency }), wanted)).toEqual(
      new Set(),
    );
    expect(layers).toHaveLength(wanted.length);
  });

  test("can accept all layers, and rejects the upload of the config and the manifest", async () => {
    const all = [layer("base"), layer("top")];
    expect(await pushWanted(engineWithoutDigests(all), all)).toEqual(new Set());
    expect(layers).toHaveLength(2);
  });

  test("identifies layers by their content if they are so small that they are complete before the progress names them", async () => {
    const [small, top] = [layer("small"), layer("top")];
    const engine = engineWithoutDigests([large(), small, top], { namedAfter: Infinity });
    expect(await pushWanted(engine, [top])).toEqual(new Set());
    expect(layers).toMatchObject([{ diffId: top.diffId }]);
    expect(await spooled()).toHaveLength(1);
  });

  test("aborts the push if the engine begins with unwanted layers and the wanted layers have to wait", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const top = layer("top");
    const engine = engineWithoutDigests([large(), large(), top], { concurrency: 2, order: (all) => [...all] });
    const taking = pushWanted(engine, [top]);
    const waits = vi.waitFor(() => expect(engine.sent.filter((line) => line.startsWith("PATCH"))).toHaveLength(2));
    await waits;
    // Both are held back, so the push is silent.
    let former = -1;
    for (let now = 0; now !== former;) {
      former = now;
      await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
      now = [...uploaded.values()].reduce((sum, some) => sum + some, 0);
    }
    await vi.advanceTimersByTimeAsync(10_000);
    expect(await taking).toEqual(new Set([top.diffId]));
    expect(details.join()).toContain("the engine makes no progress");
    expect(layers).toEqual([]);
    expect([...engine.names]).toEqual([]);
    expect(await spooled()).toEqual([]);
  });

  test.each([
    ["is not a layer", { ...blob("junk"), diffId: "" }],
    ["is another layer", layer("another")],
  ])("does not accept a blob that %s, whatever name the engine gives it", async (_, other) => {
    const top = layer("top");
    const engine = pushingEngine(async (send, { onProgress }) => {
      const { location } = (await send("POST", "blobs/uploads/")).headers;
      progressOf(top, onProgress)("Pushing");
      await send("PUT", `${location}?digest=${other.digest}`, { body: other.bytes });
    });
    expect(await pushWanted(engine, [top])).toEqual(new Set([top.diffId]));
    expect(await spooled()).toEqual([]);
  });
});
