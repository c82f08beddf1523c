import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { EngineOfferOptions } from "../../../src/send/engine-offer-options.ts";
import { exportByPush } from "../../../src/send/export-by-push.ts";
import { OutgoingBlobs } from "../../../src/send/outgoing-blobs.ts";
import { newRunId } from "../../../src/run/run-id.ts";
import { hexOf, type Digest } from "../../../src/image/digest.ts";
import { parseReference } from "../../../src/image/reference.ts";
import type { EmbeddedRegistry } from "../../../src/registry/embedded/server.ts";
import { endRegistry, openRegistry } from "../registry/embedded/client.ts";
import { blob, image, layer, type TestLayer } from "../registry/embedded/test-images.ts";
import { graphdriver, pushingEngine } from "../engine-push/pushing-engine.ts";

const layers = ["base", "workdir", "libraries", "top"].map((name) => layer(name));
const [base = expect.fail(), workdir = expect.fail(), libraries = expect.fail(), top = expect.fail()] = layers;
const known = layers.map((it) => ({ ...it, known: [it.digest] }));
const unknown = layers.map((it) => ({ ...it, known: [] }));
const { config } = image(layers);
/** The same layers, and a history: which of its steps made one is known by it alone. */
const told = blob(
  JSON.stringify({
    ...(JSON.parse(config.bytes.toString()) as object),
    history: [{}, { empty_layer: true }, {}, {}, {}, { empty_layer: true }],
  }),
);
const STEPS = [600e6, 0, 0, 300e6, 100e6, 0];

let folder: string;
let registry: EmbeddedRegistry;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "push-few-"));
  registry = await openRegistry(folder);
});
afterEach(async () => await endRegistry(registry, folder));

interface Case {
  wanted: TestLayer[];
  /** What the engine knows. */
  has?: (TestLayer & { known: string[] })[];
  /** What its builder tells. */
  tells?: Buffer | "nothing";
  sizes?: number[];
  /** The image's layers, bottom first. */
  stack?: TestLayer[];
  store?: string;
  name?: string;
}

/** What came of it: whether all did, which layers did, what was asked of the builder, and what the engine sent. */
async function push({
  wanted,
  has = unknown,
  tells = told.bytes,
  sizes = STEPS,
  stack = layers,
  store = "graphdriver",
  name = "app",
}: Case) {
  const engine = pushingEngine(graphdriver(has), { id: config.digest });
  const asked: string[] = [];
  Object.assign(engine, {
    stepSizes: async () => sizes,
    readConfig: async (of: { name: string; id: string }, version: string) => (
      asked.push(of.name, of.id, version),
      tells === "nothing" ? undefined : tells
    ),
  });
  const diffIds = stack.map(({ diffId }) => diffId);
  const offer = { repository: "r", tag: "t", credentials: { username: "u", password: "p" } };
  const outgoing = new OutgoingBlobs({ offer, diffIds, packing: { codec: undefined }, announce: () => {} });
  const ended = outgoing.content.manifest("r", "t").then(
    (manifest) => manifest !== undefined,
    () => false,
  );
  const isAll = await exportByPush(registry, outgoing, {
    engine,
    engineInfo: { store, version: "28.5.2" },
    image: parseReference(name),
    info: { id: config.digest, diffIds, platform: "linux/amd64", size: 1000 },
    want: { diffIds: wanted.map(({ diffId }) => diffId) },
    runIds: [newRunId(), newRunId()],
    onlyPlatform: false,
    signal: new AbortController().signal,
    output: { detail: () => {} },
  } as unknown as EngineOfferOptions);
  const has12 = (diffId: Digest): string => hexOf(diffId).slice(0, 12);
  const came = layers.filter(({ diffId }) => outgoing.has(diffId)).map(({ diffId }) => has12(diffId));
  await outgoing[Symbol.asyncDispose]();
  return { isAll, came, isFinished: await ended, asked, sent: engine.sent };
}

const names = (...of: TestLayer[]): string[] => of.map(({ diffId }) => hexOf(diffId).slice(0, 12));

describe("of a graph driver", () => {
  test("the new layers on top come though it knows no digest, and the config from its builder", async () => {
    const { isAll, came, isFinished, asked } = await push({ wanted: [top] });
    expect([isAll, isFinished, came]).toEqual([true, true, names(top)]);
    expect(asked).toEqual(["app:latest", config.digest, "28.5.2"]);
  });

  test("where all is there but the config, the engine is not let push at all", async () => {
    const { isAll, isFinished, sent } = await push({ wanted: [] });
    expect([isAll, isFinished, sent]).toEqual([true, true, []]);
  });

  test("layers that are not the topmost come where it knows the digests of those above; else none do, at once", async () => {
    const wanted = [workdir];
    expect(await push({ wanted, has: known })).toMatchObject({ isAll: true, came: names(workdir) });
    expect(await push({ wanted })).toMatchObject({ isAll: false, came: [] });
  });

  test("more than half a gigabyte is not what others are held for: it comes where it knows the others' digests", async () => {
    const [wanted, sizes] = [[top], [90e9, 0, 0, 0, 600e6, 0]];
    expect(await push({ wanted, sizes, has: [...known.slice(0, 3), { ...top, known: [] }] })).toMatchObject({
      isAll: true,
      came: names(top),
    });
    expect(await push({ wanted, sizes })).toMatchObject({ isAll: false, came: [] });
  });

  test("a layer that stands further below as well is the topmost all the same", async () => {
    const stack = [base, workdir, libraries, workdir, top];
    const sizes = [600e6, 0, 300e6, 0, 100e6];
    const tells = Buffer.from(JSON.stringify({ history: stack.map(() => ({})) }));
    expect(await push({ wanted: [workdir, top], stack, sizes, tells })).toMatchObject({
      isAll: true,
      came: names(workdir, top),
    });
  });

  test("a few megabytes are pushed however small the image is", async () => {
    expect(await push({ wanted: layers, sizes: [1e6, 0, 0, 1e6, 1e6, 0] })).toMatchObject({ isAll: true });
  });

  test.each([
    ["more than a sixth of the image", { wanted: [libraries, top] }],
    ["of which nobody knows how much it is", { wanted: [top], sizes: [1, 2, 3] }],
  ])("%s is not asked of it", async (_, what) => {
    const { isAll, sent } = await push(what);
    expect([isAll, sent]).toEqual([false, []]);
  });

  test("a layer of nothing is told from a step that made none by the config alone", async () => {
    const wanted = [top];
    expect(await push({ wanted, has: known, tells: "nothing" })).toMatchObject({ isAll: false, sent: [] });
    const sizes = [600e6, 5, 300e6, 100e6];
    expect(await push({ wanted, has: known, tells: "nothing", sizes })).toMatchObject({
      isAll: true,
      came: names(top),
    });
  });

  test.each([
    ["Podman", { store: "podman" }],
    ["an image with a digest for a name", { name: `app@${base.digest}` }],
  ])("the builder is not asked: %s", async (_, what) => {
    expect(await push({ wanted: [top], ...what })).toMatchObject({ asked: [] });
  });
});
