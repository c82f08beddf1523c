import { expect, test } from "vitest";
import { digestOf, type Digest } from "../../../src/image/digest.ts";
import { parseConfig } from "../../../src/image/config.ts";
import { loadAhead, type LoadAheadOptions, type FinalImage } from "../../../src/store/load-ahead.ts";
import type { ImageToLoad } from "../../../src/store/store.ts";
import { deferred } from "../../../src/streams/deferred.ts";
import { queue } from "../../../src/streams/queue.ts";
import { AMD64, asPlatform } from "../image/platforms.ts";

interface Layer {
  diffId: Digest;
  size: number;
}

/** Sizes of layers, and the size from which layers are loaded ahead, in bytes. */
const [SMALL, LARGE, MIN] = [40, 100, 100];
const small = (name: string): Layer => ({ diffId: digestOf(name), size: SMALL });
const large = (name: string): Layer => ({ diffId: digestOf(name), size: LARGE });

const CONFIG = Buffer.from("the config of the image");

/** An image whose layers are named by one letter each. The layers `lowest` are present. */
function imageToLoad(all: string, lowest: string, layers: AsyncIterable<Layer>): ImageToLoad<Layer> {
  return {
    platform: asPlatform("linux/arm64/v8"),
    diffIds: all.split("").map(digestOf),
    lowest: lowest.split("").map((name) => ({ kind: "present", diffId: digestOf(name) })),
    others: [],
    layers,
    config: async () => CONFIG,
    cancel: () => {},
  };
}

/** An observed load. */
interface ObservedLoad {
  /** Its layers, in the order of their arrival. */
  letters: string;
  image?: FinalImage;
  aborted?: Error;
  /** Ends the load. */
  end: (error?: Error) => void;
}

/** A store that records its loads. They end immediately, or on demand if the store `waits`. */
function fakeStore({ waits = false, takesMany = true } = {}) {
  const loads: ObservedLoad[] = [];
  const events: string[] = [];
  const letterOf = new Map("abcdef".split("").map((letter) => [digestOf(letter), letter]));
  const options: LoadAheadOptions<Layer> = {
    load(layers, finish) {
      const taken = deferred<void>();
      const load: ObservedLoad = { letters: "", end: (error) => (error ? taken.reject(error) : taken.resolve()) };
      loads.push(load);
      taken.promise.catch(() => {});
      const loaded = (async () => {
        for await (const { diffId } of layers) load.letters += letterOf.get(diffId);
        load.image = await finish();
        events.push(`archive of ${load.image.name}`);
        if (waits) await taken.promise;
        events.push(`loaded ${load.image.name}`);
      })();
      return {
        loaded: Promise.race([loaded, taken.promise.then(async () => await loaded)]),
        abort: (error) => (load.aborted = error),
      };
    },
    nameForLowest: takesMany ? (count) => `lowest-${count}` : undefined,
    minBytes: MIN,
    removeName: async (name) => void events.push(`removed ${name}`),
  };
  return { loads, events, options };
}

const imageOf = ({ letters, image }: ObservedLoad) => [letters, image?.name, image?.layersInStore];

/** Waits until nothing can progress without further input. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

function queueOf(layers: Layer[]): AsyncIterable<Layer> {
  const all = queue<Layer>();
  for (const layer of layers) all.push(layer);
  all.end();
  return all;
}

test("loads the lowest layers as a separate image while the other layers arrive", async () => {
  const { loads, events, options } = fakeStore();
  const layers = queue<Layer>();
  const loading = loadAhead(imageToLoad("abcd", "a", layers), "app", options);
  layers.push(large("b"));
  await settle();
  expect(loads.map(imageOf)).toEqual([["b", "lowest-2", 1]]);
  expect(events).toEqual(["archive of lowest-2", "loaded lowest-2"]);
  const { config } = loads[0]?.image ?? { config: Buffer.alloc(0) };
  expect(parseConfig(config)).toEqual({
    diffIds: [digestOf("a"), digestOf("b")],
    platform: asPlatform("linux/arm64/v8"),
  });

  layers.push(large("c"));
  layers.push(large("d"));
  layers.end();
  expect(await loading).toBe(CONFIG);
  expect(loads.map(imageOf)).toEqual([
    ["b", "lowest-2", 1],
    ["c", "lowest-3", 2],
    ["d", "app", 3],
  ]);
  expect(loads[2]?.image?.config).toBe(CONFIG);
  expect(events.slice(-4)).toEqual(["archive of app", "loaded app", "removed lowest-2", "removed lowest-3"]);
});

test("waits for more layers after small ones, and loads an image of small layers in one archive", async () => {
  const together = fakeStore();
  const layers = [small("a"), small("b"), small("c"), small("d"), small("e")];
  await loadAhead(imageToLoad("abcde", "", queueOf(layers)), "app", together.options);
  expect(together.loads.map(imageOf)).toEqual([
    ["abc", "lowest-3", 0],
    ["de", "app", 3],
  ]);
  const one = fakeStore();
  await loadAhead(imageToLoad("ab", "", queueOf([small("a"), small("b")])), "app", one.options);
  expect(one.loads.map(imageOf)).toEqual([["ab", "app", 0]]);
  expect(one.events).toEqual(["archive of app", "loaded app"]);
});

test("puts layers that arrive before a layer below them into the last archive", async () => {
  const { loads, options } = fakeStore();
  const layers = queueOf([large("c"), large("a"), large("e"), large("b"), large("d")]);
  await loadAhead(imageToLoad("abcde", "", layers), "app", options);
  expect(loads.map(imageOf)).toEqual([
    ["ced", "app", 2],
    ["a", "lowest-1", 0],
    ["b", "lowest-2", 1],
  ]);
});

test("loads lowest layers that arrive last as a separate image if there is another archive", async () => {
  const { loads, events, options } = fakeStore();
  await loadAhead(imageToLoad("abc", "", queueOf([small("c"), small("a"), small("b")])), "app", options);
  expect(loads.map(imageOf)).toEqual([
    ["c", "app", 2],
    ["ab", "lowest-2", 0],
  ]);
  expect(events.indexOf("archive of app")).toBeGreaterThan(events.indexOf("loaded lowest-2"));
});

test("loads a fully present image without layers, and a layer that occurs twice only once", async () => {
  const all = fakeStore();
  await loadAhead(imageToLoad("ab", "ab", queueOf([])), "app", all.options);
  expect(all.loads.map(imageOf)).toEqual([["", "app", 2]]);
  const twice = fakeStore();
  await loadAhead(imageToLoad("aba", "", queueOf([large("a"), large("b")])), "app", twice.options);
  expect(twice.loads.map(imageOf)).toEqual([
    ["a", "lowest-1", 0],
    ["b", "app", 1],
  ]);
});

test("writes one archive for an engine that accepts one load at a time", async () => {
  const { loads, events, options } = fakeStore({ takesMany: false });
  const layers = queueOf([large("b"), large("d"), large("c")]);
  await loadAhead(imageToLoad("abcd", "a", layers), "app", options);
  expect(loads.map(imageOf)).toEqual([["bdc", "app", 1]]);
  expect(events).toEqual(["archive of app", "loaded app"]);
});

test("lets each image wait for the image below it, while the layers continue", async () => {
  const { loads, events, options } = fakeStore({ waits: true });
  const layers = queueOf([large("a"), large("b"), large("c")]);
  const loading = loadAhead(imageToLoad("abc", "", layers), "app", options);
  const [steps, expected] = [[] as string[], [] as string[]];
  for (const [at, name] of ["lowest-1", "lowest-2", "app"].entries()) {
    await settle();
    expect(loads.map(({ letters }) => letters)).toEqual(["a", "b", "c"]);
    steps.push(...events.splice(0));
    expected.push(`archive of ${name}`);
    expect(steps).toEqual(expected);
    loads[at]?.end();
    expected.push(`loaded ${name}`);
  }
  await loading;
  expect(events).toEqual(["loaded app", "removed lowest-1", "removed lowest-2"]);
});

/** Three pending loads: one that the store processes, one that waits for it, and one that still accepts layers. */
async function threePending(layers: AsyncIterable<Layer>) {
  const store = fakeStore({ waits: true });
  const loading = loadAhead(imageToLoad("abcde", "", layers), "app", store.options);
  let end: unknown;
  const settled = loading.catch((error: unknown) => (end = error));
  await settle();
  expect(store.loads.map(({ letters }) => letters)).toEqual(["a", "b", "d"]);
  return { ...store, settled, endedWith: () => end };
}

const PENDING = [large("a"), large("b"), large("d")];
const broken = new Error("it broke off");

test.each([0, 1, 2])("fails all loads when load %i fails, and removes the names when all have ended", async (at) => {
  const layers = queue<Layer>();
  for (const layer of PENDING) layers.push(layer);
  const { loads, events, settled, endedWith } = await threePending(layers);
  events.length = 0;
  loads[at]?.end(broken);
  await settle();
  expect(loads.map(({ aborted }) => aborted)).toEqual([broken, broken, broken]);
  if (at > 0) {
    // The store is still processing the first load.
    expect([endedWith(), events]).toEqual([undefined, []]);
    loads[0]?.end();
  }
  await settled;
  expect(endedWith()).toBe(broken);
  expect(events.slice(-2)).toEqual(["removed lowest-1", "removed lowest-2"]);
  expect(events).not.toContain("archive of lowest-2");
  expect(events).not.toContain("archive of app");
  layers.end();
});

test("awaits the load that the store processes, and starts no other, when the layers fail", async () => {
  async function* failing(): AsyncGenerator<Layer> {
    yield* PENDING;
    throw broken;
  }
  const { loads, events, settled, endedWith } = await threePending(failing());
  expect(loads.map(({ aborted }) => aborted)).toEqual([broken, broken, broken]);
  expect([endedWith(), events]).toEqual([undefined, ["archive of lowest-1"]]);
  loads[0]?.end();
  await settled;
  expect(endedWith()).toBe(broken);
  expect(events).toEqual(["archive of lowest-1", "loaded lowest-1", "removed lowest-1", "removed lowest-2"]);
});

test("does not load the image, and removes the images of lowest layers, when the config fails", async () => {
  const { loads, events, options } = fakeStore();
  const config = async () => await Promise.reject(broken);
  const image = { ...imageToLoad("abc", "", queueOf([large("a"), large("b"), large("c")])), config };
  await expect(loadAhead(image, "app", options)).rejects.toBe(broken);
  expect(loads.map(({ letters }) => letters)).toEqual(["a", "b", "c"]);
  expect(events.slice(-3)).toEqual(["loaded lowest-2", "removed lowest-1", "removed lowest-2"]);
  expect(events).not.toContain("archive of app");
});

test("starts no load after a failure, and leaves none open", async () => {
  const layers = queue<{ diffId: Digest; size: number }>();
  let isClosed = false;
  async function* incoming() {
    try {
      yield* layers;
    } finally {
      isClosed = true;
    }
  }
  let begun = 0;
  let open = 0;
  const diffIds = ["a", "b", "c"].map(digestOf);
  const present = { lowest: [], others: [] };
  const config = async (): Promise<Buffer> => Buffer.from("{}");
  const image = { platform: AMD64, diffIds, ...present, layers: incoming(), config, cancel: () => {} };
  const loading = loadAhead(image, "app", {
    load(some, finish) {
      const isFirst = begun === 0;
      begun += 1;
      open += 1;
      const loaded = async (): Promise<void> => {
        for await (const _ of some) if (isFirst) throw new Error("the engine refuses");
        await finish();
      };
      return { loaded: loaded().finally(() => (open -= 1)), abort: () => {} };
    },
    nameForLowest: (count) => `lowest-${count}`,
    minBytes: 100,
    removeName: async () => {},
  });
  layers.push({ diffId: diffIds[0] ?? "", size: 100 });
  await expect(loading).rejects.toThrow("the engine refuses");
  for (const diffId of diffIds.slice(1)) layers.push({ diffId, size: 100 });
  layers.end();
  await settle();
  expect({ begun, open, isClosed }).toEqual({ begun: 1, open: 0, isClosed: true });
});

test("cancels the transfer of the layer that another archive waits for after a failure", async () => {
  const cancelled = deferred<void>();
  const layers = queue<Layer>();
  const diffIds = ["a", "b"].map(digestOf);
  const config = async (): Promise<Buffer> => CONFIG;
  const present = { lowest: [], others: [] };
  const image = { platform: AMD64, diffIds, ...present, layers, config, cancel: () => cancelled.resolve() };
  const refused = deferred<void>();
  let begun = 0;
  const loading = loadAhead(image, "app", {
    load: () => ({ loaded: (begun++ === 0 ? refused : cancelled).promise, abort: () => {} }),
    nameForLowest: (count) => `lowest-${count}`,
    minBytes: MIN,
    removeName: async () => {},
  });
  layers.push(large("a"));
  layers.push(large("b"));
  await settle();
  expect(begun).toBe(2);
  refused.reject(new Error("the disk is full"));
  await expect(loading).rejects.toThrow("the disk is full");
});

test("skips present layers above missing layers, and loads them with the missing layers", async () => {
  const { loads, options } = fakeStore();
  const layers = queue<Layer>();
  const others = ["c", "d", "f"].map((name) => ({ kind: "present" as const, diffId: digestOf(name) }));
  const loading = loadAhead({ ...imageToLoad("abcdef", "a", layers), others }, "app", options);
  layers.push(large("b"));
  await settle();
  expect(loads.map(imageOf)).toEqual([["b", "lowest-4", 1]]);
  layers.push(large("e"));
  layers.end();
  expect(await loading).toBe(CONFIG);
  expect(loads.map(imageOf)).toEqual([
    ["b", "lowest-4", 1],
    ["e", "app", 4],
  ]);
});
