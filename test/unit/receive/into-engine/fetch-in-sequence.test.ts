import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { expect, test } from "vitest";
import { fetchInSequence } from "../../../../src/receive/into-engine/fetch-in-sequence.ts";
import { digestOf } from "../../../../src/image/digest.ts";

const layerOf = (text: string) => ({
  diffId: digestOf(text),
  size: text.length,
  open: async () => Readable.from([text]),
});

async function* announced(...texts: string[]) {
  yield* texts.map(layerOf);
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

test("yields the next layer when the previous one has been read or closed", async () => {
  const layers = fetchInSequence(announced("one", "two", "three"), new AbortController().signal);
  const first = (await layers.next()).value;
  let hasSecond = false;
  const second = layers.next().then(({ value }) => ((hasSecond = true), value));
  const stream = await first?.open();
  await settle();
  expect(hasSecond).toBe(false);
  expect((await buffer(stream ?? Readable.from([]))).toString()).toBe("one");
  (await (await second)?.open())?.destroy();
  expect((await layers.next()).value?.diffId).toBe(digestOf("three"));
});

test("yields the next layer after a layer that cannot be opened", async () => {
  const none = { ...layerOf("one"), open: async () => await Promise.reject<Readable>(new Error("there is none")) };
  const layers = fetchInSequence(
    Readable.from([none, layerOf("two")]) as AsyncIterable<typeof none>,
    AbortSignal.any([]),
  );
  await expect((await layers.next()).value?.open()).rejects.toThrow("there is none");
  expect((await layers.next()).value?.diffId).toBe(digestOf("two"));
});

test("ends when it is aborted while a layer is read", async () => {
  const stop = new AbortController();
  const layers = fetchInSequence(announced("one", "two"), stop.signal);
  await (await layers.next()).value?.open();
  const next = layers.next();
  next.catch(() => {});
  stop.abort(new Error("enough"));
  await expect(next).rejects.toThrow("enough");
});
