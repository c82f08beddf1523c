import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { takePlace, type Place, type QueueOptions } from "../../../src/factory/queue.ts";
import { newRunId } from "../../../src/run/run-id.ts";
import { deferred } from "../../../src/streams/deferred.ts";

let parent: string;
let folder: string;
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), "dos-queue-"));
  folder = join(parent, "queue");
});
afterEach(() => rmSync(parent, { recursive: true }));

const { signal } = new AbortController();
const take = async (options: Partial<QueueOptions> = {}): Promise<Place> =>
  await takePlace(folder, newRunId(), { places: 1, isLatest: false, signal, onWait: () => {}, ...options });

/** Takes a place in a queue that is full; `waiting` resolves to the number of runs before it. */
function takeLater(options: Partial<QueueOptions> = {}): { place: Promise<Place>; waiting: Promise<number> } {
  const waiting = deferred<number>();
  const place = take({ onWait: (ahead) => waiting.resolve(ahead), ...options });
  place.catch(() => {});
  return { place, waiting: waiting.promise };
}

test("runs work in the order in which they came", async () => {
  const order: string[] = [];
  const first = await take();
  const second = takeLater();
  expect(await second.waiting).toBe(1);
  const third = takeLater();
  expect(await third.waiting).toBe(2);
  void third.place.then(() => order.push("third"));
  void second.place.then(async (place) => {
    order.push("second");
    await place[Symbol.asyncDispose]();
  });
  await first[Symbol.asyncDispose]();
  const last = await third.place;
  expect(order).toEqual(["second", "third"]);
  await last[Symbol.asyncDispose]();
  expect(readdirSync(parent)).toEqual([]);
});

test("so many at a time as there are places", async () => {
  const two = [await take({ places: 2 }), await take({ places: 2 })];
  const third = takeLater({ places: 2 });
  expect(await third.waiting).toBe(2);
  await two[1]?.[Symbol.asyncDispose]();
  await (await third.place)[Symbol.asyncDispose]();
  await two[0]?.[Symbol.asyncDispose]();
});

test("a run that was killed holds nobody up", async () => {
  mkdirSync(folder);
  writeFileSync(join(folder, `1-${newRunId(999_999_999)}`), "");
  await using _ = await take();
  expect(readdirSync(folder)).toHaveLength(1);
});

test("a file that is no ticket is left alone", async () => {
  mkdirSync(folder);
  writeFileSync(join(folder, "1-x"), "");
  await using _ = await take();
  expect(readdirSync(folder)).toHaveLength(2);
});

test("the latest ends those before it, whether they work or wait, and not those behind it", async () => {
  const working = await take();
  const ended = new Promise<Error>((resolve) => {
    working.signal.addEventListener("abort", () => resolve(working.signal.reason as Error));
  });
  const waiting = takeLater();
  await waiting.waiting;
  const latest = takeLater({ isLatest: true });
  const superseded = {
    code: "refused",
    message: expect.stringMatching(/^a later build of this name has replaced/) as string,
  };
  await expect(waiting.place).rejects.toMatchObject(superseded);
  expect(await ended).toMatchObject(superseded);
  await working[Symbol.asyncDispose]();
  const place = await latest.place;
  const behind = takeLater();
  expect(await behind.waiting).toBe(1);
  expect(place.signal.aborted).toBe(false);
  await place[Symbol.asyncDispose]();
  await (await behind.place)[Symbol.asyncDispose]();
});

test("a queue that is entered while its folder goes away is entered all the same", async () => {
  const rounds = Array.from({ length: 40 }, async () => {
    const place = await take({ places: 50 });
    await place[Symbol.asyncDispose]();
  });
  await Promise.all(rounds);
  expect(readdirSync(parent)).toEqual([]);
});

test("an aborted wait leaves the queue", async () => {
  await using _ = await take();
  const stop = new AbortController();
  const second = takeLater({ signal: stop.signal });
  await second.waiting;
  stop.abort(new Error("the client has gone"));
  await expect(second.place).rejects.toThrow("the client has gone");
  expect(readdirSync(folder)).toHaveLength(1);
});

test("no more than 20 runs wait; the latest always may", async () => {
  mkdirSync(folder);
  const own = newRunId();
  for (let number = 1; number <= 21; number += 1) writeFileSync(join(folder, `${number}-${own}`), "");
  await expect(take()).rejects.toMatchObject({ code: "refused", message: "20 builds are already waiting" });
  const latest = takeLater({ isLatest: true });
  expect(await latest.waiting).toBe(21);
  for (let number = 1; number <= 21; number += 1) rmSync(join(folder, `${number}-${own}`));
  await (await latest.place)[Symbol.asyncDispose]();
});
