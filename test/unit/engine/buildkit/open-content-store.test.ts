import { randomBytes } from "node:crypto";
import { buffer } from "node:stream/consumers";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, describe, expect, test, vi } from "vitest";
import { BlobGone, type ContentStore } from "../../../../src/engine/content-store.ts";
import { openEngine } from "../../../../src/engine/open/open-engine.ts";
import type { Engine } from "../../../../src/engine/engine.ts";
import { EngineError } from "../../../../src/engine/engine-error.ts";
import { digestOf, type Digest } from "../../../../src/image/digest.ts";
import { InvalidImage } from "../../../../src/image/invalid-image.ts";
import {
  contentEngine,
  NAMED,
  UNCOMPRESSED,
  type ContentEngine,
  type ContentEngineOptions,
  type FakeBlob,
} from "../fake-content-engine.ts";
import { latch, rejection } from "../fake-engine.ts";

async function storeOf(engine: Engine): Promise<ContentStore> {
  const store = await engine.contentStore();
  if (store === undefined) throw new Error("it has none");
  return store;
}

/** A blob and the result of reading it. */
function blob(bytes: Buffer | string): FakeBlob & { digest: Digest; bytes: Buffer; of: { size: number } } {
  const whole = Buffer.from(bytes);
  return { bytes: whole, digest: digestOf(whole), of: { size: whole.length } };
}

const [diffId, config] = [digestOf("layer"), digestOf("config")];

afterEach(() => vi.useRealTimers());

describe("finds blobs", () => {
  const layer = { ...blob("layer, packed"), labels: { [UNCOMPRESSED]: diffId } };
  const names = { [`${NAMED}.config`]: config, [`${NAMED}.l.0`]: layer.digest };
  const manifest = { ...blob("manifest"), labels: names };
  const ofBuildKit = {
    ...blob("manifest of BuildKit"),
    labels: { [`${NAMED}.0`]: config, [`${NAMED}.1`]: layer.digest },
  };
  const blobs = [layer, manifest, ofBuildKit, blob("something else")];

  test("by digest, by diff ID, and by config, with one query", async () => {
    await using fake = await contentEngine({ blobs });
    await using engine = await openEngine(fake.endpoint);
    const store = await storeOf(engine);
    const asked = fake.requests.length;
    const found = { layer: { digest: layer.digest, size: 13, diffId, names: [] } };
    expect(await store.find({ digests: [layer.digest, digestOf("nowhere")] })).toEqual([found.layer]);
    expect(await store.find({ diffIds: [digestOf("nowhere"), diffId] })).toEqual([found.layer]);
    expect(await store.find({ config })).toEqual([
      { digest: manifest.digest, size: 8, names: [config, layer.digest] },
      { digest: ofBuildKit.digest, size: 20, names: [config, layer.digest] },
    ]);
    expect(await store.find({ digests: [config], diffIds: [diffId], config })).toHaveLength(3);
    expect(fake.requests.slice(asked)).toEqual(Array(4).fill("2.0 List"));
  });

  test("but none, without a query, if there is no criterion", async () => {
    await using fake = await contentEngine({ blobs });
    await using engine = await openEngine(fake.endpoint);
    const store = await storeOf(engine);
    const asked = fake.requests.length;
    expect(await store.find({})).toEqual([]);
    expect(await store.find({ digests: [], diffIds: [], config: undefined })).toEqual([]);
    expect(fake.requests.slice(asked)).toEqual([]);
  });

  test("ignoring invalid digests and unknown labels", async () => {
    const odd = {
      ...blob("odd"),
      labels: { [UNCOMPRESSED]: "sha512:abc", "containerd.io/distribution.source": diffId },
    };
    const names = { [`${NAMED}.l.0`]: "", [`${NAMED}.config`]: `${config}\n`, "containerd.io/gc.ref.snapshot": config };
    const manifest = { ...blob("odd manifest"), labels: names };
    await using fake = await contentEngine({
      list: async function* () {
        for (const { digest, bytes, labels } of [odd, manifest, { ...odd, digest: "sha256:../../etc" }]) {
          yield { info: [{ digest, size: BigInt(bytes.length), labels }] };
        }
      },
    });
    await using engine = await openEngine(fake.endpoint);
    expect(await (await storeOf(engine)).find({ diffIds: [diffId] })).toEqual([
      { digest: odd.digest, size: 3, names: [] },
      { digest: manifest.digest, size: 12, names: [] },
    ]);
  });

  test.each<[string, () => { digest?: string; labels?: Record<string, string> }]>([
    ["blobs", () => ({ digest: digestOf(randomBytes(8)) })],
    ["blobs without a digest", () => ({ digest: "layer" })],
    ["identical blobs", () => ({ digest: diffId })],
    [
      "manifests that name blobs",
      () => ({
        digest: diffId,
        labels: Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [`${NAMED}.l.${index}`, config])),
      }),
    ],
  ])("but cancels an endless list of %s", async (_, make) => {
    const cancelled = latch();
    await using fake = await contentEngine({
      list: async function* ({ filters }, { signal }) {
        if (filters.every((filter) => filter.startsWith("digest"))) return;
        signal.addEventListener("abort", cancelled.open);
        for (;;) yield { info: Array.from({ length: 5 }, make) };
      },
    });
    await using engine = await openEngine(fake.endpoint);
    const error = await rejection((await storeOf(engine)).find({ diffIds: [diffId] }));
    expect(error).toBeInstanceOf(EngineError);
    expect(error.message).toBe("the engine lists more than 10000 blobs of an image");
    await cancelled.opened;
  });

  test("but fails if the engine does not answer within 10 s", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    await using fake = await contentEngine({
      list: async function* ({ filters }) {
        if (filters.every((filter) => filter.startsWith("digest"))) return;
        vi.advanceTimersByTime(10_000);
        await new Promise(() => {});
        yield {};
      },
    });
    await using engine = await openEngine(fake.endpoint);
    const error = await rejection((await storeOf(engine)).find({ diffIds: [diffId] }));
    expect(error).toBeInstanceOf(EngineError);
    expect(error.message).toBe("the engine did not list its blobs within 10 s");
  });

  test.each([Code.NotFound, Code.Internal, Code.PermissionDenied])(
    "but fails on an answer with error %i",
    async (code) => {
      await using fake = await contentEngine({
        list: async function* ({ filters }) {
          if (!filters.every((filter) => filter.startsWith("digest"))) throw new ConnectError("the disk is gone", code);
          yield {};
        },
      });
      await using engine = await openEngine(fake.endpoint);
      const error = await rejection((await storeOf(engine)).find({ diffIds: [diffId] }));
      expect(error).toBeInstanceOf(EngineError);
      expect(error.message).toBe("the engine did not return the list of its blobs: the disk is gone");
    },
  );
});

describe("reads a blob", () => {
  const large = blob(randomBytes(300_000));

  test.each([
    ["whole", {}, 0, 300_000],
    ["from any byte", { from: 123_456 }, 123_456, 300_000],
    ["from its last byte", { from: 299_999 }, 299_999, 300_000],
    ["in part", { from: 70_000, length: 140_000 }, 70_000, 210_000],
    ["at its beginning", { length: 6 }, 0, 6],
  ])("%s", async (_, part, start, end) => {
    await using fake = await contentEngine({ blobs: [large] });
    await using engine = await openEngine(fake.endpoint);
    const read = (await storeOf(engine)).read(large.digest, { ...large.of, ...part });
    expect((await buffer(read)).equals(large.bytes.subarray(start, end))).toBe(true);
    expect(fake.reads).toEqual([{ digest: large.digest, offset: start, size: end - start }]);
  });

  test("without a request, when the range is empty", async () => {
    await using fake = await contentEngine({ blobs: [large] });
    await using engine = await openEngine(fake.endpoint);
    const store = await storeOf(engine);
    expect(await buffer(store.read(large.digest, { ...large.of, from: 300_000 }))).toHaveLength(0);
    for (const size of [0, -1]) expect(await buffer(store.read(digestOf(""), { size }))).toHaveLength(0);
    expect(fake.reads).toEqual([]);
  });

  test("concurrently with many others, on one connection", async () => {
    const blobs = Array.from({ length: 200 }, () => blob(randomBytes(10_000)));
    await using fake = await contentEngine({ blobs });
    await using engine = await openEngine(fake.endpoint);
    const store = await storeOf(engine);
    const read = await Promise.all(blobs.map(async ({ digest, of }) => await buffer(store.read(digest, of))));
    expect(read.map(digestOf)).toEqual(blobs.map(({ digest }) => digest));
    expect(fake.requests.filter((request) => request.includes("/grpc"))).toHaveLength(1);
  });

  test("until its reader stops: cancels the call, and the other calls continue", async () => {
    const cancelled = latch();
    await using fake: ContentEngine = await contentEngine({
      blobs: [large],
      read: async function* ({ digest }, { signal }) {
        if (digest === large.digest) return yield { data: large.bytes };
        signal.addEventListener("abort", cancelled.open);
        for (;;) yield { data: Buffer.alloc(1_000_000) };
      },
    });
    await using engine = await openEngine(fake.endpoint);
    const store = await storeOf(engine);
    const endless = store.read(digestOf("endless"), { size: 1e12 });
    for await (const chunk of endless) if (chunk.length > 0) break;
    await cancelled.opened;
    expect((await buffer(store.read(large.digest, large.of))).equals(large.bytes)).toBe(true);
    expect(fake.connections).toBe(2); // one for HTTP/1.1
  });

  test("but fails if the blob is missing", async () => {
    await using fake = await contentEngine();
    await using engine = await openEngine(fake.endpoint);
    const error = await rejection(buffer((await storeOf(engine)).read(large.digest, large.of)));
    expect(error).toBeInstanceOf(BlobGone);
    expect(error.message).toBe(`the engine does not have the blob ${large.digest}`);
    expect(fake.reads).toHaveLength(1);
  });

  test.each([
    ["shorter", 300_001, "ends after 300000 of its 300001 bytes"],
    ["longer", 299_999, "is larger than the 299999 bytes it should have"],
  ])("but fails if the blob is %s than its descriptor", async (_, size, message) => {
    // The fake engine sends the whole blob for any range.
    const read = async function* () {
      yield { data: large.bytes };
    };
    await using fake = await contentEngine({ read });
    await using engine = await openEngine(fake.endpoint);
    const error = await rejection(buffer((await storeOf(engine)).read(large.digest, { size })));
    expect(error).toBeInstanceOf(InvalidImage);
    expect(error.message).toBe(`the blob ${large.digest} ${message}`);
    expect(fake.reads).toHaveLength(1);
  });

  test("without verification", async () => {
    await using fake = await contentEngine({ blobs: [{ ...blob("other bytes"), digest: large.digest }] });
    await using engine = await openEngine(fake.endpoint);
    const store = await storeOf(engine);
    expect((await buffer(store.read(large.digest, { size: 11 }))).toString()).toBe("other bytes");
  });
});

describe("reads a small blob whole and verifies it", () => {
  const small = blob(randomBytes(200_000));

  test("if it exists and is not too large", async () => {
    await using fake = await contentEngine({ blobs: [small] });
    await using engine = await openEngine(fake.endpoint);
    const store = await storeOf(engine);
    expect((await store.readSmall(small.digest, 200_000))?.equals(small.bytes)).toBe(true);
    expect(await store.readSmall(small.digest, 199_999)).toBeUndefined();
    expect(await store.readSmall(digestOf("nowhere"), 200_000)).toBeUndefined();
  });

  test("if its digest matches", async () => {
    await using fake = await contentEngine({ blobs: [{ ...small, digest: digestOf("another") }] });
    await using engine = await openEngine(fake.endpoint);
    expect(await (await storeOf(engine)).readSmall(digestOf("another"), 200_000)).toBeUndefined();
  });

  test("even if the connection breaks in the middle", async () => {
    let isFirst = true;
    await using fake: ContentEngine = await contentEngine({
      read: async function* ({ offset }) {
        yield { data: small.bytes.subarray(Number(offset), isFirst ? 100_000 : undefined) };
        if (isFirst) fake.drop();
        isFirst = false;
      },
    });
    await using engine = await openEngine(fake.endpoint);
    const read = await (await storeOf(engine)).readSmall(small.digest, 200_000);
    expect(read?.equals(small.bytes)).toBe(true);
  });

  test("but not if it is endless", async () => {
    const cancelled = latch();
    await using fake = await contentEngine({
      read: async function* (_, { signal }) {
        signal.addEventListener("abort", cancelled.open);
        for (;;) yield { data: small.bytes };
      },
    });
    await using engine = await openEngine(fake.endpoint);
    expect(await (await storeOf(engine)).readSmall(small.digest, 8_000_000)).toBeUndefined();
    await cancelled.opened;
  });
});

describe("a connection that breaks", () => {
  const [large, small] = [blob(randomBytes(10_000_000)), blob(randomBytes(100_000))];
  /** The requested ranges of a blob. */
  async function* part({ bytes }: { bytes: Buffer }, offset: bigint) {
    for (let at = Number(offset); at < bytes.length; at += 100_000) yield { data: bytes.subarray(at, at + 100_000) };
  }

  test("in the middle of a blob is replaced, and reading resumes where it stopped", async () => {
    let come = 0;
    const asked: { from: number; come: number }[] = [];
    await using fake = await contentEngine({
      read({ offset }) {
        asked.push({ from: Number(offset), come });
        return part(large, offset);
      },
    });
    await using engine = await openEngine(fake.endpoint);
    const chunks: Buffer[] = [];
    for await (const chunk of (await storeOf(engine)).read(large.digest, large.of)) {
      chunks.push(chunk);
      come += chunk.length;
      if (asked.length <= 5 && come > asked.length * 1_000_000) fake.drop();
    }
    expect(digestOf(Buffer.concat(chunks))).toBe(large.digest);
    expect(asked.length).toBeGreaterThanOrEqual(6);
    expect(asked.filter(({ from, come: before }) => from !== before)).toEqual([]);
  });

  test("while many blobs are read is replaced once, for all of them", async () => {
    const all = latch();
    await using fake: ContentEngine = await contentEngine({
      async *read({ offset }, { signal }) {
        yield { data: small.bytes.subarray(Number(offset), Number(offset) + 1000) };
        if (fake.reads.length === 20) all.open();
        if (fake.reads.length > 20) yield* part(small, offset + 1000n);
        else await new Promise((resolve) => signal.addEventListener("abort", resolve));
      },
    });
    await using engine = await openEngine(fake.endpoint);
    const store = await storeOf(engine);
    const reading = Array.from({ length: 20 }, async () => digestOf(await buffer(store.read(small.digest, small.of))));
    await all.opened;
    fake.drop();
    expect(new Set(await Promise.all(reading))).toEqual(new Set([small.digest]));
    expect(fake.requests.filter((request) => request === "1.1 POST /grpc")).toHaveLength(2);
  });

  test("three times without a byte causes an error", async () => {
    await using fake: ContentEngine = await contentEngine({
      read: async function* () {
        fake.drop();
        yield {};
      },
    });
    await using engine = await openEngine(fake.endpoint);
    const error = await rejection(buffer((await storeOf(engine)).read(large.digest, large.of)));
    expect(error).toBeInstanceOf(EngineError);
    expect(error.message).toMatch(/^the engine did not return the blob sha256:[0-9a-f]{64}: ./);
    expect(fake.reads).toHaveLength(3);
  });

  test("and cannot be replaced causes an error", async () => {
    const options: ContentEngineOptions = { blobs: [large] };
    await using fake = await contentEngine(options);
    await using engine = await openEngine(fake.endpoint);
    const store = await storeOf(engine);
    options.grpc = 503;
    fake.drop();
    await expect(buffer(store.read(large.digest, large.of))).rejects.toThrow("the engine no longer supports gRPC");
  });
});

describe("reading ends", () => {
  const read = async function* (_: unknown, { signal }: { signal: AbortSignal }) {
    yield { data: Buffer.from("the beginning") };
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
  };
  const endless = [digestOf("endless"), 1e9] as const;

  test("with the reason of its own signal; the others continue", async () => {
    await using fake = await contentEngine({ read });
    await using engine = await openEngine(fake.endpoint);
    const store = await storeOf(engine);
    const stop = new AbortController();
    const [digest, size] = endless;
    const [one, another] = [store.read(digest, { size, signal: stop.signal }), store.read(digest, { size })];
    for (const each of [one, another]) expect((await each.next()).value?.toString()).toBe("the beginning");
    const [next, nextOther] = [rejection(one.next()), rejection(another.next())];
    stop.abort(new Error("enough"));
    expect((await next).message).toBe("enough");
    expect((await rejection(store.find({ diffIds: [diffId] }, stop.signal))).message).toBe("enough");
    expect(await store.find({ diffIds: [diffId] })).toEqual([]);
    await engine[Symbol.asyncDispose]();
    expect((await nextOther).message).toBe("the engine has been disposed");
  });

  test("of a list with the reason of its signal", async () => {
    const stop = new AbortController();
    await using fake = await contentEngine({
      list: async function* ({ filters }) {
        if (filters.every((filter) => filter.startsWith("digest"))) return;
        stop.abort(new Error("enough"));
        await new Promise(() => {});
        yield {};
      },
    });
    await using engine = await openEngine(fake.endpoint);
    const finding = (await storeOf(engine)).find({ diffIds: [diffId] }, stop.signal);
    expect((await rejection(finding)).message).toBe("enough");
  });

  test("with the reason of the engine's signal", async () => {
    await using fake = await contentEngine({ read });
    const stop = new AbortController();
    await using engine = await openEngine(fake.endpoint, stop.signal);
    const store = await storeOf(engine);
    const [digest, size] = endless;
    const reading = store.read(digest, { size });
    await reading.next();
    const [next, small] = [rejection(reading.next()), rejection(store.readSmall(digest, size))];
    stop.abort(new Error("Ctrl-C"));
    expect([(await next).message, (await small).message]).toEqual(["Ctrl-C", "Ctrl-C"]);
    expect((await rejection(store.find({ diffIds: [diffId] }))).message).toBe("Ctrl-C");
  });
});
