import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { InvalidRecipe } from "../../../src/delta/recipe-errors.ts";
import { cut, type Segment } from "../../../src/delta/cut-tar.ts";
import { chopped, pseudoRandom } from "../pseudo-random.ts";
import { generatedTar } from "./generated-tars.ts";
import { damaged, noise, streamOf } from "./odd-tars.ts";
import { sendTar, type Harm } from "./send-tar.ts";

/** Whatever the tar, whatever is there already, and whatever is done to what passes. */

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "properties-"));
});
afterAll(async () => await rm(folder, { recursive: true }));

/** Up to three of what may be there: versions of the tar, a part of it, a damaged one, others, what is none. */
function seedsFor(tar: Buffer, seed: number, random: () => number): Buffer[] {
  const kinds = [
    () => generatedTar(seed, { version: 1 }),
    () => generatedTar(seed, { version: 2 }),
    () => tar.subarray(0, random() * tar.length),
    () => tar.subarray(random() * tar.length),
    () => (tar.length === 0 ? tar : damaged(tar, random)),
    () => generatedTar(seed + 1),
    () => noise(random() * 100_000, seed),
  ];
  return Array.from({ length: Math.floor(random() * 4) }, () => kinds[Math.floor(random() * kinds.length)]?.() ?? tar);
}

test("whatever is there already, a tar is made to the byte, and of what it has itself nothing is sent", async () => {
  const random = pseudoRandom(1);
  for (let seed = 0; seed < 80; seed += 1) {
    const whole = generatedTar(seed);
    const tar = random() < 0.2 ? whole.subarray(0, random() * whole.length) : whole;
    const deltaBases = seedsFor(tar, seed, random);
    const some = await sendTar(folder, tar, deltaBases);
    expect(some.made.equals(tar), `seed ${seed}`).toBe(true);
    expect((await sendTar(folder, tar, [...deltaBases, tar])).sent, `seed ${seed}`).toBe(0);
  }
});

test("a newer version costs less than it is", async () => {
  let [sent, all] = [0, 0];
  for (let seed = 0; seed < 50; seed += 1) {
    const [old, now] = [generatedTar(seed), generatedTar(seed, { version: 1 })];
    all += (await sendTar(folder, now, [])).sent;
    sent += (await sendTar(folder, now, [old])).sent;
  }
  expect(sent).toBeLessThan(0.4 * all);
});

test("the segments are the bytes, and the same however these come", async () => {
  const told = async (chunks: Iterable<Buffer>): Promise<[Buffer, unknown[]]> => {
    const segments: Segment[] = [];
    for await (const batch of cut(streamOf(chunks))) segments.push(...batch);
    const all = Buffer.concat(segments.map(({ bytes }) => bytes));
    return [all, segments.map(({ bytes, ...rest }) => ({ ...rest, length: bytes.length }))];
  };
  for (let seed = 0; seed < 40; seed += 1) {
    // More than is cut at a time, now and then.
    const tar = seed % 8 === 0 ? generatedTar(seed, { parts: 150 }) : generatedTar(seed);
    const [bytes, segments] = await told([tar]);
    expect(bytes.equals(tar), `seed ${seed}`).toBe(true);
    const [again, same] = await told(chopped(tar, seed, seed % 2 === 0 ? 700 : 70_000));
    expect(again.equals(tar), `seed ${seed}`).toBe(true);
    expect(JSON.stringify(same), `seed ${seed}`).toBe(JSON.stringify(segments));
  }
});

test("whatever is done to recipe, list or pieces, nothing fails but for that; the layer's digest sees the rest", async () => {
  const random = pseudoRandom(2);
  const outcomes = { refused: 0, wrong: 0, right: 0 };
  for (let seed = 0; seed < 90; seed += 1) {
    const tar = generatedTar(seed, { parts: 5 });
    const kind = (["recipe", "missing", "pieces"] as const)[seed % 3] as keyof Harm;
    const harm = { [kind]: (bytes: Buffer) => (bytes.length === 0 ? noise(3, seed) : damaged(bytes, random)) };
    try {
      const { made } = await sendTar(folder, tar, seedsFor(tar, seed, random), harm);
      outcomes[made.equals(tar) ? "right" : "wrong"] += 1;
    } catch (error) {
      expect(error, `seed ${seed}`).toBeInstanceOf(InvalidRecipe);
      outcomes.refused += 1;
    }
  }
  expect(outcomes.refused).toBeGreaterThan(20);
  expect(outcomes.wrong).toBeGreaterThan(5);
});
