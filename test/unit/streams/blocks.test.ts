import { expect, test } from "vitest";
import { mapInOrder } from "../../../src/streams/map-in-order.ts";
import { byteRange } from "../../../src/streams/byte-range.ts";
import { deferred, type Deferred } from "../../../src/streams/deferred.ts";
import { queue } from "../../../src/streams/queue.ts";

async function rest(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

/** Work on numbers that ends when it is told to. */
function slowWork() {
  const begun = new Map<number, Deferred<string>>();
  const work = async (item: number): Promise<string> => {
    const result = deferred<string>();
    begun.set(item, result);
    return await result.promise;
  };
  return { work, begun: () => [...begun.keys()], end: (item: number) => begun.get(item)?.resolve(String(item)) };
}

/** Takes all there is, and notes it. */
function taking(results: AsyncIterable<string>) {
  const got: string[] = [];
  const ended = (async () => {
    for await (const result of results) got.push(result);
  })();
  ended.catch(() => {});
  return { got, ended };
}

test("so many are worked on at once, and each comes in its turn", async () => {
  const { work, begun, end } = slowWork();
  const items = queue<number>();
  for (const item of [1, 2, 3, 4]) items.push(item);
  items.end();
  const { got, ended } = taking(mapInOrder(items, work, 3));
  await rest();
  expect(begun()).toEqual([1, 2, 3]);
  end(2);
  await rest();
  expect([got, begun()]).toEqual([[], [1, 2, 3]]);
  end(1);
  await rest();
  expect([got, begun()]).toEqual([
    ["1", "2"],
    [1, 2, 3, 4],
  ]);
  end(4);
  end(3);
  await ended;
  expect(got).toEqual(["1", "2", "3", "4"]);
});

test("one that is ready does not wait for the next to come", async () => {
  const items = queue<number>();
  const { got } = taking(mapInOrder(items, async (item) => String(item), 3));
  items.push(1);
  await rest();
  expect(got).toEqual(["1"]);
});

test("when the items fail, what had come before is given first", async () => {
  const { work, end } = slowWork();
  async function* broken(): AsyncGenerator<number> {
    yield 1;
    yield 2;
    throw new Error("the link is gone");
  }
  const { got, ended } = taking(mapInOrder(broken(), work, 3));
  await rest();
  end(1);
  end(2);
  await expect(ended).rejects.toThrow("the link is gone");
  expect(got).toEqual(["1", "2"]);
});

test("work that fails ends it, and so does the reader's leaving; the items are let go of", async () => {
  const closed: string[] = [];
  async function* items(name: string): AsyncGenerator<number> {
    try {
      for (let item = 0; ; item += 1) yield item;
    } finally {
      closed.push(name);
    }
  }
  const failing = mapInOrder(items("failed"), async () => await Promise.reject<string>(new Error("no")), 3);
  await expect(taking(failing).ended).rejects.toThrow("no");
  for await (const _ of mapInOrder(items("left"), async (item) => String(item), 3)) break;
  await rest();
  expect(closed).toEqual(["failed", "left"]);
});

test.each([
  [{ first: 0 }, "abcdefgh"],
  [{ first: 3 }, "defgh"],
  [{ first: 2, last: 4 }, "cde"],
  [{ first: 8 }, ""],
])("the part %j", async (range, expected) => {
  const chunks = queue<Buffer>();
  for (const text of ["abc", "de", "fgh"]) chunks.push(Buffer.from(text));
  chunks.end();
  const got: string[] = [];
  for await (const chunk of byteRange(chunks, range)) got.push(chunk.toString());
  expect(got.join("")).toBe(expected);
});
