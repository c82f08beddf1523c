import { expect, test } from "vitest";
import { FairOrder, type Waiting } from "../../../src/store/fair-order.ts";

const any = (): boolean => true;
let order = 0;
const job = (owner: string): Waiting => ({ id: `${owner}${++order}`, owner, order });

/** Takes all jobs, or `count` jobs, and returns their owners. */
function takeAll(line: FairOrder<Waiting>, count = Infinity): string {
  let owners = "";
  for (let taken = 0; taken < count; taken++) {
    const next = line.take(any);
    if (next === undefined) break;
    owners += next.owner;
  }
  return owners;
}

function lineOf(owners: string): FairOrder<Waiting> {
  const line = new FairOrder<Waiting>();
  for (const owner of owners) line.add(job(owner));
  return line;
}

test("owners take turns, and the jobs of one keep the order of acceptance", () => {
  const line = lineOf("aaaabbbc");
  const ids: string[] = [];
  for (let next = line.take(any); next !== undefined; next = line.take(any)) ids.push(next.id);
  expect(ids.map((id) => id[0]).join("")).toBe("abcababa");
  const ofA = ids.filter((id) => id.startsWith("a"));
  expect(ofA).toEqual(ofA.toSorted((one, other) => Number(one.slice(1)) - Number(other.slice(1))));
  expect(line.size).toBe(0);
});

test("a thousand jobs delay the single job of another owner by at most one, whenever it arrives", () => {
  const line = lineOf("a".repeat(1000));
  for (const turns of [0, 1, 5, 100]) {
    takeAll(line, turns);
    const single = job("b");
    line.add(single);
    expect(line.position(single.id)).toBeLessThanOrEqual(1);
    expect(takeAll(line, 2)).toContain("b");
  }
});

test("an owner that submits continuously gets only its turn", () => {
  const line = lineOf("a".repeat(20));
  let owners = "";
  for (let turn = 0; turn < 20; turn++) {
    if (line.sizeOf("b") === 0) line.add(job("b"));
    owners += takeAll(line, 1);
  }
  expect(owners).toMatch(/^(ab){10}$/);
});

test("an owner that had no jobs for a long time does not catch up", () => {
  const line = lineOf(`b${"a".repeat(100)}`);
  takeAll(line, 51);
  for (let count = 0; count < 10; count++) line.add(job("b"));
  expect(takeAll(line, 10)).toMatch(/^(ba|ab){5}$/);
});

test("an owner whose jobs could not run for a long time does not catch up either", () => {
  const line = lineOf(`${"b".repeat(10)}${"a".repeat(100)}`);
  for (let count = 0; count < 50; count++) line.take(({ owner }) => owner === "a");
  expect(takeAll(line, 10)).toMatch(/^b{1,2}(ab){4}a?$/);
});

test("removed jobs cost their owner no turn", () => {
  const line = lineOf("bb");
  const removed = Array.from({ length: 10 }, () => job("a"));
  for (const each of removed) line.add(each);
  for (const each of removed) expect(line.remove(each.id)).toBe(true);
  expect(line.remove(removed[0]?.id ?? "")).toBe(false);
  line.add(job("a"));
  expect(takeAll(line, 2)).toBe("ba");
});

test("other jobs, including its owner's, pass a job that may not run", () => {
  const line = new FairOrder<Waiting>();
  const [first, second] = [job("a"), job("a")];
  line.add(first);
  line.add(second);
  expect(line.take(({ id }) => id !== first.id)).toBe(second);
  expect(line.take(() => false)).toBeUndefined();
  expect(line.position(first.id)).toBe(0);
});

test("a job that returns has its old place among those of its owner", () => {
  const line = lineOf("aa");
  const first = line.take(any);
  line.add(job("a"));
  if (first !== undefined) line.add(first);
  expect(line.take(any)).toBe(first);
});

test("positions are the order in which jobs are taken, whatever happened before", () => {
  let seed = 7;
  const random = (below: number): number => (seed = (seed * 48_271) % 2_147_483_647) % below;
  for (let round = 0; round < 50; round++) {
    const line = new FairOrder<Waiting>();
    const ids: string[] = [];
    for (let step = 0; step < 60; step++) {
      if (random(3) > 0) {
        const added = job("abcd"[random(4)] ?? "a");
        line.add(added);
        ids.push(added.id);
      } else if (random(2) > 0) line.take(any);
      else line.remove(ids[random(ids.length)] ?? "");
    }
    const waiting = ids.filter((id) => line.position(id) !== undefined);
    const expected = waiting.toSorted((a, b) => (line.position(a) ?? 0) - (line.position(b) ?? 0));
    expect(waiting.map((id) => line.position(id)).toSorted((a = 0, b = 0) => a - b)).toEqual([...waiting.keys()]);
    expect(waiting.map(() => line.take(any)?.id)).toEqual(expected);
  }
});
