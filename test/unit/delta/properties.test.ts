import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { InvalidRecipe } from "../../../src/delta/recipe-errors.ts";
import { cutTar, type Segment } from "../../../src/delta/cut-tar.ts";
import { chopped, pseudoRandom } from "../pseudo-random.ts";
import { generatedTar } from "./generated-tars.ts";
import { damaged, noise, streamOf } from "./odd-tars.ts";
import { sendTar, type Harm } from "./send-tar.ts";

/** Properties that hold for any tar, any delta bases, and any damage to the messages. */

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "properties-"));
});
afterAll(async () => await rm(folder, { recursive: true }));

/** Returns up to three delta bases: versions of the tar, a part of it, a damaged version, other tars, and noise. */
function basesFor(tar: Buffer, seed: number, random: () => number): Buffer[] {
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

test("rebuilds a tar exactly from any delta bases, and sends nothing to a receiver that has it", async () => {
  const random = pseudoRandom(1);
  for (let seed = 0; seed < 80; seed += 1) {
    const whole = generatedTar(seed);
    const tar = random() < 0.2 ? whole.subarray(0, random() * whole.length) : whole;
    const deltaBases = basesFor(tar, seed, random);
    const some = await sendTar(folder, tar, deltaBases);
    expect(some.rebuilt.equals(tar), `seed ${seed}`).toBe(true);
    expect((await sendTar(folder, tar, [...deltaBases, tar])).sent, `seed ${seed}`).toBe(0);
  }
});

test("sends fewer bytes for a newer version than its size", async () => {
  let [sent, all] = [0, 0];
  for (let seed = 0; seed < 50; seed += 1) {
    const [old, now] = [generatedTar(seed), generatedTar(seed, { version: 1 })];
    all += (await sendTar(folder, now, [])).sent;
    sent += (await sendTar(folder, now, [old])).sent;
  }
  expect(sent).toBeLessThan(0.4 * all);
});

test("cuts a tar into segments with exactly its bytes, however it is chunked", async () => {
  const segmentsOf = async (chunks: Iterable<Buffer>): Promise<[Buffer, unknown[]]> => {
    const segments: Segment[] = [];
    for await (const batch of cutTar(streamOf(chunks))) segments.push(...batch);
    const all = Buffer.concat(segments.map(({ bytes }) => bytes));
    return [all, segments.map(({ bytes, ...rest }) => ({ ...rest, length: bytes.length }))];
  };
  for (let seed = 0; seed < 40; seed += 1) {
    // Some tars are larger than the window.
    const tar = seed % 8 === 0 ? generatedTar(seed, { parts: 150 }) : generatedTar(seed);
    const [bytes, segments] = await segmentsOf([tar]);
    expect(bytes.equals(tar), `seed ${seed}`).toBe(true);
    const [again, same] = await segmentsOf(chopped(tar, seed, seed % 2 === 0 ? 700 : 70_000));
    expect(again.equals(tar), `seed ${seed}`).toBe(true);
    expect(JSON.stringify(same), `seed ${seed}`).toBe(JSON.stringify(segments));
  }
});

test("rejects a damaged recipe, list or piece, or rebuilds another tar", async () => {
  const random = pseudoRandom(2);
  const outcomes = { refused: 0, wrong: 0, right: 0 };
  for (let seed = 0; seed < 90; seed += 1) {
    const tar = generatedTar(seed, { parts: 5 });
    const kind = (["recipe", "missing", "pieces"] as const)[seed % 3] as keyof Harm;
    const harm = { [kind]: (bytes: Buffer) => (bytes.length === 0 ? noise(3, seed) : damaged(bytes, random)) };
    try {
      const { rebuilt } = await sendTar(folder, tar, basesFor(tar, seed, random), harm);
      outcomes[rebuilt.equals(tar) ? "right" : "wrong"] += 1;
    } catch (error) {
      expect(error, `seed ${seed}`).toBeInstanceOf(InvalidRecipe);
      outcomes.refused += 1;
    }
  }
  expect(outcomes.refused).toBeGreaterThan(20);
  expect(outcomes.wrong).toBeGreaterThan(5);
});
