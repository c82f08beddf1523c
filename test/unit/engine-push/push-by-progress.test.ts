import { randomBytes } from "node:crypto";
import { mkdtemp, readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { TransferOptions } from "../../../src/engine/engine-images.ts";
import { EngineError } from "../../../src/engine/engine-error.ts";
import { newRunId } from "../../../src/run/run-id.ts";
import { hexOf, type Digest } from "../../../src/image/digest.ts";
import { parseReference } from "../../../src/image/reference.ts";
import type { SpooledLayer } from "../../../src/engine-push/probe-image.ts";
import { pushByProgress } from "../../../src/engine-push/push-by-progress.ts";
import type { EmbeddedRegistry } from "../../../src/registry/embedded/server.ts";
import { endRegistry, openRegistry } from "../registry/embedded/client.ts";
import { blob, layer, type TestLayer } from "../registry/embedded/test-images.ts";
import { pushingEngine, type PushingEngine } from "./pushing-engine.ts";

const app = parseReference("app");
const MB = 1_000_000;
/** It does not fit into what lies between two programs. */
const large = (): TestLayer => layer(randomBytes(20 * MB).toString("latin1"), 0);

let folder: string;
let registry: EmbeddedRegistry;
let told: string[];
let layers: SpooledLayer[];
/** Bytes that were taken of each layer. */
let taken: Map<Digest, number>;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "embedded-"));
  registry = await openRegistry(folder);
  [told, layers, taken] = [[], [], new Map()];
});

afterEach(async () => {
  vi.useRealTimers();
  await endRegistry(registry, folder);
});

interface Habits {
  /** How many uploads go on at once. Docker's default. */
  atOnce?: number;
  /** The topmost first, as Docker has it. */
  order?: (bottomFirst: TestLayer[]) => TestLayer[];
  /** Names a layer when so many bytes of it have gone. */
  namesAt?: number;
}

/** A graph driver that has never pushed: it knows no digest, asks for none, and packs every layer while it uploads it. */
function neverPushed(bottomFirst: TestLayer[], habits: Habits = {}): PushingEngine {
  const { atOnce = 5, order = (all) => all.toReversed(), namesAt = 100_000 } = habits;
  return pushingEngine(async (ask, { onProgress }) => {
    const waiting = order(bottomFirst);
    const one = async (): Promise<void> => {
      for (let it = waiting.shift(); it !== undefined; it = waiting.shift()) {
        const tell = teller(it, onProgress);
        const { location } = (await ask("POST", "blobs/uploads/")).headers;
        const answer = await ask("PATCH", location ?? "", { body: bytesOf(it, namesAt, tell) });
        await ask("PUT", `${answer.headers.location}?digest=${it.digest}`, { headers: { "content-length": 0 } });
        if ((await ask("HEAD", `blobs/${it.digest}`)).status !== 200) throw new EngineError("unknown blob");
        tell("Pushed");
      }
    };
    for (const it of waiting) teller(it, onProgress)("Preparing");
    await Promise.all(Array.from({ length: atOnce }, one));
    await ask("PUT", "manifests/new", { body: "{}" });
  });
}

function teller({ diffId }: TestLayer, onProgress: TransferOptions["onProgress"]): (status: string) => void {
  return (status) => onProgress?.({ id: hexOf(diffId).slice(0, 12), status });
}

function bytesOf({ digest, bytes }: TestLayer, namesAt: number, tell: (status: string) => void): Readable {
  const pieces = function* (): Generator<Buffer> {
    for (let at = 0; at < bytes.length; at += 65_536) {
      if (at >= namesAt) tell("Pushing");
      const piece = bytes.subarray(at, at + 65_536);
      taken.set(digest, at + piece.length);
      yield piece;
    }
    tell("Pushing");
  };
  return Readable.from(pieces(), { objectMode: false, highWaterMark: 65_536 });
}

async function take(engine: PushingEngine, wanted: TestLayer[]): Promise<ReadonlySet<Digest>> {
  return await pushByProgress(engine, app, new Set(wanted.map(({ diffId }) => diffId)), {
    registry,
    runIds: [newRunId()],
    signal: new AbortController().signal,
    onDetail: (text) => told.push(text),
    onLayer: (it) => layers.push(it),
  });
}

async function spooled(): Promise<string[]> {
  return await readdir(join(folder, (await readdir(folder))[0] ?? ""));
}

describe("of an image that was never pushed", () => {
  test("the wanted layers are taken, and of the others no more than shows what they are", async () => {
    const [base, libraries, config, top] = [large(), large(), layer("a few files"), layer("the newest")];
    const engine = neverPushed([base, libraries, config, top]);
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }); // it ends by itself, and not because it is quiet
    expect(await take(engine, [config, top])).toEqual(new Set());
    expect(layers.map(({ diffId }) => diffId).toSorted()).toEqual([config.diffId, top.diffId].toSorted());
    for (const it of layers) {
      const { bytes } = it.diffId === top.diffId ? top : config;
      expect(await buffer(await it.open())).toEqual(bytes);
    }
    for (const { digest } of [base, libraries]) expect(taken.get(digest) ?? 0).toBeLessThan(15 * MB);
    expect(engine.sent).not.toContain("PUT manifests/new");
    expect([...engine.names]).toEqual([]);
    expect(await spooled()).toHaveLength(2); // what was begun is gone
    expect(told).toEqual([]);
  });

  test("a wanted layer is taken that is large, while others wait", async () => {
    const [base, top] = [large(), large()];
    expect(await take(neverPushed([base, top]), [top])).toEqual(new Set());
    expect(layers).toMatchObject([{ diffId: top.diffId, size: top.bytes.length }]);
    expect(taken.get(base.digest) ?? 0).toBeLessThan(15 * MB);
  });

  test.each([1, 2, 5])("more layers are taken than the engine sends at once (%s)", async (atOnce) => {
    const wanted = Array.from({ length: 12 }, (_, at) => layer(`step ${at}`));
    expect(await take(neverPushed([large(), large(), ...wanted], { atOnce }), wanted)).toEqual(new Set());
    expect(layers).toHaveLength(wanted.length);
  });

  test("all of its layers can be taken: the config's upload and the manifest come to nothing", async () => {
    const all = [layer("base"), layer("top")];
    expect(await take(neverPushed(all), all)).toEqual(new Set());
    expect(layers).toHaveLength(2);
  });

  test("layers that are so small that they are there before they are named are told apart by what they hold", async () => {
    const [small, top] = [layer("small"), layer("top")];
    const engine = neverPushed([large(), small, top], { namesAt: Infinity });
    expect(await take(engine, [top])).toEqual(new Set());
    expect(layers).toMatchObject([{ diffId: top.diffId }]);
    expect(await spooled()).toHaveLength(1);
  });

  test("it is given up when the engine begins with layers that nobody wants, and waits with those that are", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const top = layer("top");
    const engine = neverPushed([large(), large(), top], { atOnce: 2, order: (all) => [...all] });
    const taking = take(engine, [top]);
    const waits = vi.waitFor(() => expect(engine.sent.filter((line) => line.startsWith("PATCH"))).toHaveLength(2));
    await waits;
    // Held back, both of them: nothing is heard any more.
    let former = -1;
    for (let now = 0; now !== former;) {
      former = now;
      await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
      now = [...taken.values()].reduce((sum, some) => sum + some, 0);
    }
    await vi.advanceTimersByTimeAsync(10_000);
    expect(await taking).toEqual(new Set([top.diffId]));
    expect(told.join()).toContain("the engine makes no progress");
    expect(layers).toEqual([]);
    expect([...engine.names]).toEqual([]);
    expect(await spooled()).toEqual([]);
  });

  test.each([
    ["is no layer", { ...blob("junk"), diffId: "" }],
    ["is another layer", layer("another")],
  ])("a blob that %s is not taken, whatever the engine calls it", async (_, other) => {
    const top = layer("top");
    const engine = pushingEngine(async (ask, { onProgress }) => {
      const { location } = (await ask("POST", "blobs/uploads/")).headers;
      teller(top, onProgress)("Pushing");
      await ask("PUT", `${location}?digest=${other.digest}`, { body: other.bytes });
    });
    expect(await take(engine, [top])).toEqual(new Set([top.diffId]));
    expect(await spooled()).toEqual([]);
  });
});
