import { expect, test } from "vitest";
import { digestOf, type Digest } from "../../../src/image/digest.ts";
import { parseConfig } from "../../../src/image/config.ts";
import { loadAhead, type LoadAheadOptions, type StackedImage } from "../../../src/store/load-ahead.ts";
import type { ImageToLoad } from "../../../src/store/store.ts";
import { deferred } from "../../../src/streams/deferred.ts";
import { queue } from "../../../src/streams/queue.ts";

interface Layer {
  diffId: Digest;
  size: number;
}

/** Of these sizes in bytes, one is worth an image of its own. */
const [SMALL, LARGE, WORTH_IT] = [40, 100, 100];
const small = (name: string): Layer => ({ diffId: digestOf(name), size: SMALL });
const large = (name: string): Layer => ({ diffId: digestOf(name), size: LARGE });

const CONFIG = Buffer.from("the image's own config");

/** A delivery of an image of layers that are called by one letter each, of which the lowest are here. */
function deliveryOf(all: string, here: string, layers: AsyncIterable<Layer>): ImageToLoad<Layer> {
  return {
    platform: "linux/arm64/v8",
    diffIds: all.split("").map(digestOf),
    here: here.split("").map((name) => ({ kind: "here", diffId: digestOf(name) })),
    stored: [],
    layers,
    config: async () => CONFIG,
    abandon: () => {},
  };
}

/** One load after it was begun. */
interface Seen {
  /** Of its layers, in the order in which they came. */
  letters: string;
  image?: StackedImage;
  brokenOff?: Error;
  /** The store has it, or will not. */
  end: (error?: Error) => void;
}

/** A store that takes in what it is given, at once unless it `waits`, and notes what happens. */
function fakeStore({ waits = false, takesMany = true } = {}) {
  const loads: Seen[] = [];
  const events: string[] = [];
  const letterOf = new Map("abcdef".split("").map((letter) => [digestOf(letter), letter]));
  const options: LoadAheadOptions<Layer> = {
    load(layers, finish) {
      const taken = deferred<void>();
      const load: Seen = { letters: "", end: (error) => (error ? taken.reject(error) : taken.resolve()) };
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
        breakOff: (error) => (load.brokenOff = error),
      };
    },
    nameForLowest: takesMany ? (count) => `lowest-${count}` : undefined,
    worthIt: WORTH_IT,
    forget: async (name) => void events.push(`forgot ${name}`),
  };
  return { loads, events, options };
}

const imageOf = ({ letters, image }: Seen) => [letters, image?.name, image?.inStore];

/** As long as anything could still move by itself. */
async function rest(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

function queueOf(layers: Layer[]): AsyncIterable<Layer> {
  const all = queue<Layer>();
  for (const layer of layers) all.push(layer);
  all.end();
  return all;
}

test("the lowest layers are loaded as an image of their own while the others come", async () => {
  const { loads, events, options } = fakeStore();
  const layers = queue<Layer>();
  const loading = loadAhead(deliveryOf("abcd", "a", layers), "app", options);
  layers.push(large("b"));
  await rest();
  expect(loads.map(imageOf)).toEqual([["b", "lowest-2", 1]]);
  expect(events).toEqual(["archive of lowest-2", "loaded lowest-2"]);
  const { config } = loads[0]?.image ?? { config: Buffer.alloc(0) };
  expect(parseConfig(config)).toEqual({ diffIds: [digestOf("a"), digestOf("b")], platform: "linux/arm64/v8" });

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
  expect(events.slice(-4)).toEqual(["archive of app", "loaded app", "forgot lowest-2", "forgot lowest-3"]);
});

test("what is small waits for more of it, and what is all small is one image", async () => {
  const together = fakeStore();
  const layers = [small("a"), small("b"), small("c"), small("d"), small("e")];
  await loadAhead(deliveryOf("abcde", "", queueOf(layers)), "app", together.options);
  expect(together.loads.map(imageOf)).toEqual([
    ["abc", "lowest-3", 0],
    ["de", "app", 3],
  ]);
  const one = fakeStore();
  await loadAhead(deliveryOf("ab", "", queueOf([small("a"), small("b")])), "app", one.options);
  expect(one.loads.map(imageOf)).toEqual([["ab", "app", 0]]);
  expect(one.events).toEqual(["archive of app", "loaded app"]);
});

test("layers that come before one below them go into the last archive", async () => {
  const { loads, options } = fakeStore();
  const layers = queueOf([large("c"), large("a"), large("e"), large("b"), large("d")]);
  await loadAhead(deliveryOf("abcde", "", layers), "app", options);
  expect(loads.map(imageOf)).toEqual([
    ["ced", "app", 2],
    ["a", "lowest-1", 0],
    ["b", "lowest-2", 1],
  ]);
});

test("low ones that come last get an image of their own when another archive has been begun", async () => {
  const { loads, events, options } = fakeStore();
  await loadAhead(deliveryOf("abc", "", queueOf([small("c"), small("a"), small("b")])), "app", options);
  expect(loads.map(imageOf)).toEqual([
    ["c", "app", 2],
    ["ab", "lowest-2", 0],
  ]);
  expect(events.indexOf("archive of app")).toBeGreaterThan(events.indexOf("loaded lowest-2"));
});

test("one that is all here is an image without layers; one that has a layer twice gets it once", async () => {
  const all = fakeStore();
  await loadAhead(deliveryOf("ab", "ab", queueOf([])), "app", all.options);
  expect(all.loads.map(imageOf)).toEqual([["", "app", 2]]);
  const twice = fakeStore();
  await loadAhead(deliveryOf("aba", "", queueOf([large("a"), large("b")])), "app", twice.options);
  expect(twice.loads.map(imageOf)).toEqual([
    ["a", "lowest-1", 0],
    ["b", "app", 1],
  ]);
});

test("for an engine that takes one at a time there is one archive", async () => {
  const { loads, events, options } = fakeStore({ takesMany: false });
  const layers = queueOf([large("b"), large("d"), large("c")]);
  await loadAhead(deliveryOf("abcd", "a", layers), "app", options);
  expect(loads.map(imageOf)).toEqual([["bdc", "app", 1]]);
  expect(events).toEqual(["archive of app", "loaded app"]);
});

test("each image waits for the one below it, while the layers go on", async () => {
  const { loads, events, options } = fakeStore({ waits: true });
  const layers = queueOf([large("a"), large("b"), large("c")]);
  const loading = loadAhead(deliveryOf("abc", "", layers), "app", options);
  const [steps, expected] = [[] as string[], [] as string[]];
  for (const [at, name] of ["lowest-1", "lowest-2", "app"].entries()) {
    await rest();
    expect(loads.map(({ letters }) => letters)).toEqual(["a", "b", "c"]);
    steps.push(...events.splice(0));
    expected.push(`archive of ${name}`);
    expect(steps).toEqual(expected);
    loads[at]?.end();
    expected.push(`loaded ${name}`);
  }
  await loading;
  expect(events).toEqual(["loaded app", "forgot lowest-1", "forgot lowest-2"]);
});

/** Three loads under way: one that the store takes in, one that waits for it, and one that is still being filled. */
async function threeUnderWay(layers: AsyncIterable<Layer>) {
  const store = fakeStore({ waits: true });
  const loading = loadAhead(deliveryOf("abcde", "", layers), "app", store.options);
  let end: unknown;
  const settled = loading.catch((error: unknown) => (end = error));
  await rest();
  expect(store.loads.map(({ letters }) => letters)).toEqual(["a", "b", "d"]);
  return { ...store, settled, endedWith: () => end };
}

const UNDER_WAY = [large("a"), large("b"), large("d")];
const broken = new Error("it broke off");

test.each([0, 1, 2])("when load %i fails, so do the others; names are forgotten when all have ended", async (at) => {
  const layers = queue<Layer>();
  for (const layer of UNDER_WAY) layers.push(layer);
  const { loads, events, settled, endedWith } = await threeUnderWay(layers);
  events.length = 0;
  loads[at]?.end(broken);
  await rest();
  expect(loads.map(({ brokenOff }) => brokenOff)).toEqual([broken, broken, broken]);
  if (at > 0) {
    // The store is still busy with the first.
    expect([endedWith(), events]).toEqual([undefined, []]);
    loads[0]?.end();
  }
  await settled;
  expect(endedWith()).toBe(broken);
  expect(events.slice(-2)).toEqual(["forgot lowest-1", "forgot lowest-2"]);
  expect(events).not.toContain("archive of lowest-2");
  expect(events).not.toContain("archive of app");
  layers.end();
});

test("when the layers stop coming, what is in the store's hands is waited for, and nothing more is begun", async () => {
  async function* failing(): AsyncGenerator<Layer> {
    yield* UNDER_WAY;
    throw broken;
  }
  const { loads, events, settled, endedWith } = await threeUnderWay(failing());
  expect(loads.map(({ brokenOff }) => brokenOff)).toEqual([broken, broken, broken]);
  expect([endedWith(), events]).toEqual([undefined, ["archive of lowest-1"]]);
  loads[0]?.end();
  await settled;
  expect(endedWith()).toBe(broken);
  expect(events).toEqual(["archive of lowest-1", "loaded lowest-1", "forgot lowest-1", "forgot lowest-2"]);
});

test("when there is no image after all, none is loaded, and the lowest are forgotten", async () => {
  const { loads, events, options } = fakeStore();
  const config = async () => await Promise.reject(broken);
  const delivery = { ...deliveryOf("abc", "", queueOf([large("a"), large("b"), large("c")])), config };
  await expect(loadAhead(delivery, "app", options)).rejects.toBe(broken);
  expect(loads.map(({ letters }) => letters)).toEqual(["a", "b", "c"]);
  expect(events.slice(-3)).toEqual(["loaded lowest-2", "forgot lowest-1", "forgot lowest-2"]);
  expect(events).not.toContain("archive of app");
});

test("no load is begun, and none left open, after one has failed", async () => {
  const layers = queue<{ diffId: Digest; size: number }>();
  let isLetGoOf = false;
  async function* coming() {
    try {
      yield* layers;
    } finally {
      isLetGoOf = true;
    }
  }
  let begun = 0;
  let open = 0;
  const diffIds = ["a", "b", "c"].map(digestOf);
  const present = { here: [], stored: [] };
  const config = async (): Promise<Buffer> => Buffer.from("{}");
  const delivery = { platform: "linux/amd64", diffIds, ...present, layers: coming(), config, abandon: () => {} };
  const loading = loadAhead(delivery, "app", {
    load(some, finish) {
      const isFirst = begun === 0;
      begun += 1;
      open += 1;
      const loaded = async (): Promise<void> => {
        for await (const _ of some) if (isFirst) throw new Error("the engine refuses");
        await finish();
      };
      return { loaded: loaded().finally(() => (open -= 1)), breakOff: () => {} };
    },
    nameForLowest: (count) => `lowest-${count}`,
    worthIt: 100,
    forget: async () => {},
  });
  layers.push({ diffId: diffIds[0] ?? "", size: 100 });
  await expect(loading).rejects.toThrow("the engine refuses");
  for (const diffId of diffIds.slice(1)) layers.push({ diffId, size: 100 });
  layers.end();
  await rest();
  expect({ begun, open, isLetGoOf }).toEqual({ begun: 1, open: 0, isLetGoOf: true });
});

test("when a load fails, the layer that another archive waits for is given up before that is waited for", async () => {
  const givenUp = deferred<void>();
  const layers = queue<Layer>();
  const diffIds = ["a", "b"].map(digestOf);
  const config = async (): Promise<Buffer> => CONFIG;
  const present = { here: [], stored: [] };
  const delivery = { platform: "linux/amd64", diffIds, ...present, layers, config, abandon: () => givenUp.resolve() };
  const refused = deferred<void>();
  let begun = 0;
  const loading = loadAhead(delivery, "app", {
    load: () => ({ loaded: (begun++ === 0 ? refused : givenUp).promise, breakOff: () => {} }),
    nameForLowest: (count) => `lowest-${count}`,
    worthIt: WORTH_IT,
    forget: async () => {},
  });
  layers.push(large("a"));
  layers.push(large("b"));
  await rest();
  expect(begun).toBe(2);
  refused.reject(new Error("the disk is full"));
  await expect(loading).rejects.toThrow("the disk is full");
});

test("layers that the store has without their stack are passed over: what stands between is loaded with them", async () => {
  const { loads, options } = fakeStore();
  const layers = queue<Layer>();
  const stored = ["c", "d", "f"].map((name) => ({ kind: "here" as const, diffId: digestOf(name) }));
  const loading = loadAhead({ ...deliveryOf("abcdef", "a", layers), stored }, "app", options);
  layers.push(large("b"));
  await rest();
  expect(loads.map(imageOf)).toEqual([["b", "lowest-4", 1]]);
  layers.push(large("e"));
  layers.end();
  expect(await loading).toBe(CONFIG);
  expect(loads.map(imageOf)).toEqual([
    ["b", "lowest-4", 1],
    ["e", "app", 4],
  ]);
});
