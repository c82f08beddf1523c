import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { EngineOfferOptions } from "../../../../src/send/from-engine/engine-offer-options.ts";
import { exportByPush } from "../../../../src/send/from-engine/export-by-push.ts";
import { OutgoingBlobs } from "../../../../src/send/outgoing-blobs.ts";
import { newRunId } from "../../../../src/run/run-id.ts";
import { shortOf } from "../../../../src/image/digest.ts";
import { parseReference } from "../../../../src/image/reference.ts";
import type { EmbeddedRegistry } from "../../../../src/registry/embedded/server.ts";
import { endRegistry, openRegistry } from "../../registry/embedded/client.ts";
import { blob, image, layer, type TestLayer } from "../../registry/embedded/test-images.ts";
import { graphdriver, pushingEngine } from "../../engine-push/pushing-engine.ts";
import { AMD64 } from "../../image/platforms.ts";

const layers = ["base", "workdir", "libraries", "top"].map((name) => layer(name));
const [base = expect.fail(), workdir = expect.fail(), libraries = expect.fail(), top = expect.fail()] = layers;
const withDigests = layers.map((it) => ({ ...it, known: [it.digest] }));
const withoutDigests = layers.map((it) => ({ ...it, known: [] }));
const { config } = image(layers);
/** The same layers with a history. Only the history shows which steps created a layer. */
const configWithHistory = blob(
  JSON.stringify({
    ...(JSON.parse(config.bytes.toString()) as object),
    history: [{}, { empty_layer: true }, {}, {}, {}, { empty_layer: true }],
  }),
);
const STEPS = [600e6, 0, 0, 300e6, 100e6, 0];

let folder: string;
let registry: EmbeddedRegistry;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "export-by-push-"));
  registry = await openRegistry(folder);
});
afterEach(async () => await endRegistry(registry, folder));

interface Case {
  wanted: TestLayer[];
  /** The layers with the digests that the engine knows. */
  has?: (TestLayer & { known: string[] })[];
  /** The config that its builder reads. */
  config?: Buffer | "none";
  sizes?: number[];
  /** The image's layers, bottom first. */
  stack?: TestLayer[];
  store?: string;
  name?: string;
}

/** Returns whether all wanted layers were exported, the exported layers, the arguments of readConfig, and the engine's requests. */
async function push({
  wanted,
  has = withoutDigests,
  config: readableConfig = configWithHistory.bytes,
  sizes = STEPS,
  stack = layers,
  store = "graphdriver",
  name = "app",
}: Case) {
  const engine = pushingEngine(graphdriver(has), { id: config.digest });
  const readConfigArgs: string[] = [];
  Object.assign(engine, {
    stepSizes: async () => sizes,
    readConfig: async (of: { name: string; id: string }, version: string) => (
      readConfigArgs.push(of.name, of.id, version),
      readableConfig === "none" ? undefined : readableConfig
    ),
  });
  const diffIds = stack.map(({ diffId }) => diffId);
  const offer = {
    repository: "r",
    tag: "t",
    layers: "announced" as const,
    credentials: { username: "u", password: "p" },
  };
  const outgoing = new OutgoingBlobs({ offer, diffIds, packing: { codec: undefined }, announce: () => {} });
  const ended = outgoing.content.manifest("r", "t").then(
    (manifest) => manifest !== undefined,
    () => false,
  );
  const isAll = await exportByPush(registry, outgoing, {
    engine,
    engineInfo: { store, version: "28.5.2" },
    image: parseReference(name),
    info: { id: config.digest, diffIds, platform: AMD64, size: 1000 },
    want: { diffIds: wanted.map(({ diffId }) => diffId) },
    runIds: [newRunId(), newRunId()],
    onlyPlatform: false,
    signal: new AbortController().signal,
    output: { detail: () => {} },
  } as unknown as EngineOfferOptions);
  const exported = layers.filter(({ diffId }) => outgoing.has(diffId)).map(({ diffId }) => shortOf(diffId));
  await outgoing[Symbol.asyncDispose]();
  return { isAll, exported, isFinished: await ended, readConfigArgs, sent: engine.sent };
}

const names = (...of: TestLayer[]): string[] => of.map(({ diffId }) => shortOf(diffId));

describe("a graph driver", () => {
  test("pushes the new topmost layers without knowing digests, and the builder reads the config", async () => {
    const { isAll, exported, isFinished, readConfigArgs } = await push({ wanted: [top] });
    expect([isAll, isFinished, exported]).toEqual([true, true, names(top)]);
    expect(readConfigArgs).toEqual(["app:latest", config.digest, "28.5.2"]);
  });

  test("does not push when only the config is missing", async () => {
    const { isAll, isFinished, sent } = await push({ wanted: [] });
    expect([isAll, isFinished, sent]).toEqual([true, true, []]);
  });

  test("pushes layers that are not the topmost only if it knows the digests of the layers above", async () => {
    const wanted = [workdir];
    expect(await push({ wanted, has: withDigests })).toMatchObject({ isAll: true, exported: names(workdir) });
    expect(await push({ wanted })).toMatchObject({ isAll: false, exported: [] });
  });

  test("holds back other layers for at most half a gigabyte, and pushes more only if it knows the digests of the other layers", async () => {
    const [wanted, sizes] = [[top], [90e9, 0, 0, 0, 600e6, 0]];
    expect(await push({ wanted, sizes, has: [...withDigests.slice(0, 3), { ...top, known: [] }] })).toMatchObject({
      isAll: true,
      exported: names(top),
    });
    expect(await push({ wanted, sizes })).toMatchObject({ isAll: false, exported: [] });
  });

  test("pushes a topmost layer that also occurs further down", async () => {
    const stack = [base, workdir, libraries, workdir, top];
    const sizes = [600e6, 0, 300e6, 0, 100e6];
    const noEmptySteps = Buffer.from(JSON.stringify({ history: stack.map(() => ({})) }));
    expect(await push({ wanted: [workdir, top], stack, sizes, config: noEmptySteps })).toMatchObject({
      isAll: true,
      exported: names(workdir, top),
    });
  });

  test("pushes a few megabytes of an image of any size", async () => {
    expect(await push({ wanted: layers, sizes: [1e6, 0, 0, 1e6, 1e6, 0] })).toMatchObject({ isAll: true });
  });

  test.each([
    ["more than a sixth of the image", { wanted: [libraries, top] }],
    ["a layer of unknown size", { wanted: [top], sizes: [1, 2, 3] }],
  ])("does not push %s", async (_, options) => {
    const { isAll, sent } = await push(options);
    expect([isAll, sent]).toEqual([false, []]);
  });

  test("needs the config to distinguish an empty layer from a step without a layer", async () => {
    const wanted = [top];
    expect(await push({ wanted, has: withDigests, config: "none" })).toMatchObject({ isAll: false, sent: [] });
    const sizes = [600e6, 5, 300e6, 100e6];
    expect(await push({ wanted, has: withDigests, config: "none", sizes })).toMatchObject({
      isAll: true,
      exported: names(top),
    });
  });

  test.each([
    ["Podman", { store: "podman" }],
    ["an image named by a digest", { name: `app@${base.digest}` }],
  ])("does not let the builder read the config of %s", async (_, options) => {
    expect(await push({ wanted: [top], ...options })).toMatchObject({ readConfigArgs: [] });
  });
});
