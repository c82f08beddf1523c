import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { END } from "../../../../src/packing/pack.ts";
import { pseudoRandomBytes } from "../../pseudo-random.ts";
import { contentsOf, memoryContext, type MemoryEntry } from "../memory-context.ts";
import { exchange, link } from "./exchange.ts";

let homes: { near: string; far: string };
beforeEach(async () => {
  const folder = await mkdtemp(join(tmpdir(), "exchange-"));
  homes = { near: join(folder, "near"), far: join(folder, "far") };
});
afterEach(async () => await rm(join(homes.near, ".."), { recursive: true }));

test("a context arrives unchanged", async () => {
  const context = memoryContext({
    Dockerfile: { content: "FROM scratch\n" },
    empty: { content: "" },
    "dir/large": { content: pseudoRandomBytes(1_000_000, 1), mode: 0o755 },
    "dir/link": { symlink: "../../etc/passwd" },
    "dir/same": { hardLink: "dir/large" },
    "dir/nothing": { folder: true, mode: 0o1777 },
    dür: { content: "not ASCII" },
  });
  const { context: arrived } = await exchange(context, { homes });
  await using _ = arrived;
  const plain = (entries: readonly object[]): unknown =>
    entries.map((entry) => ({ ...entry, pieces: 0, fingerprint: 0 }));
  expect(plain(arrived.entries)).toEqual(plain(context.entries));
  expect(await contentsOf(arrived)).toEqual(await contentsOf(context));
});

test("three changed files among thousands cost few bytes, and no other file is read", async () => {
  const files: Record<string, MemoryEntry> = {};
  for (let n = 0; n < 4000; n += 1) {
    files[`src/part-${n % 50}/file-${n}.ts`] = {
      content: pseudoRandomBytes(500, n).toString("hex"),
      fingerprint: `${n}`,
    };
  }
  const first = link();
  await using _ = (await exchange(memoryContext(files), { homes, link: first })).context;
  expect(first.bytes.there).toBeGreaterThan(2_000_000);
  const unchanged = link();
  await using _1 = (await exchange(memoryContext(files), { homes, link: unchanged })).context;
  expect(unchanged.bytes.there).toBeLessThan(1000);

  for (const n of [1, 2000, 3999]) {
    files[`src/part-${n % 50}/file-${n}.ts`] = { content: `changed ${n}`, fingerprint: `new ${n}` };
  }
  const second = link();
  const context = memoryContext(files);
  const { context: arrived } = await exchange(context, { homes, link: second });
  await using _2 = arrived;
  expect(context.reads).toHaveLength(3);
  expect(second.bytes.there).toBeLessThan(200_000);
  expect(await contentsOf(arrived)).toEqual(await contentsOf(context));
});

test("a stream may close while it writes its end, as in HTTP/2 when the other side has ended", async () => {
  const used = link();
  const { near, far } = used;
  const write = near._write.bind(near);
  near._write = (chunk: Buffer, encoding, done) => {
    if (chunk.readUInt8(0) !== END) return write(chunk, encoding, done);
    for (const last of [chunk, null]) far.push(last);
    if (near.readableEnded) near.destroy();
    else near.once("end", () => near.destroy());
  };
  near._destroy = (error, done) => done(error);
  const context = memoryContext({ Dockerfile: { content: "FROM scratch\n" } });
  await using arrived = (await exchange(context, { homes, link: used })).context;
  expect(await contentsOf(arrived)).toEqual(await contentsOf(context));
});
