import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { duplexPair, Readable, type Duplex } from "node:stream";
import { buffer } from "node:stream/consumers";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { FetchOptions } from "../../../src/receive/incoming-layer.ts";
import { FetchProgress } from "../../../src/receive/fetch-progress.ts";
import { fetchLayers, streamLayers } from "../../../src/receive/fetch-layers.ts";
import type { AnnouncedLayer } from "../../../src/conversation/messages.ts";
import { OutgoingBlobs } from "../../../src/send/outgoing-blobs.ts";
import { newRunId } from "../../../src/run/run-id.ts";
import { sizeLimit } from "../../../src/image/layer/size-limit.ts";
import { digestOf, hexOf } from "../../../src/image/digest.ts";
import { MEDIA_TYPE } from "../../../src/image/manifest.ts";
import { commonCodec } from "../../../src/packing/codecs.ts";
import { RegistryClient } from "../../../src/registry/registry-client.ts";
import type { StoredBlob } from "../../../src/registry/embedded/pull/registry-content.ts";
import { openEmbeddedRegistry } from "../../../src/registry/embedded/server.ts";
import { ResumeCache } from "../../../src/store/resume-cache.ts";
import { openSpool } from "../../../src/run/spool.ts";
import { queue } from "../../../src/streams/queue.ts";

const MB = 1_000_000;
const plain = Buffer.concat([randomBytes(5 * MB), Buffer.alloc(MB)]);
const diffId = digestOf(plain);
const zipped = gzipSync(plain, { level: 1 });
const offer = {
  repository: "app",
  tag: "v1",
  layers: "announced" as const,
  credentials: { username: "u", password: "p" },
};

let cache: string;
let folder: string;
let resumeCache: ResumeCache;
beforeEach(async () => {
  cache = await mkdtemp(join(tmpdir(), "fetch-layers-"));
  folder = join(cache, "docker-over-ssh/kept");
  resumeCache = newRun();
});
afterEach(async () => {
  await resumeCache[Symbol.asyncDispose]();
  await rm(cache, { recursive: true });
});

const newRun = () => new ResumeCache({ env: { XDG_CACHE_HOME: cache }, runId: newRunId() });

/** How the sender reads the layer: once from a stream, plain or as stored, or repeatedly from a blob. */
type Source = "plain stream" | "stored stream" | "blob";

interface Fetched {
  bytes: Buffer;
  /** Bytes from the sender, counted by the receiver. */
  received: number;
  resumed: number[];
}

/**
 * Fetches the layer into a file, or as a stream.
 *
 * @param breakAfter bytes after which the connection is lost
 * @param isAnnounced whether the receiver reports to the sender that it has a part of the layer
 */
async function fetch(
  source: Source,
  how: "file" | "stream",
  { breakAfter = Infinity, limit = Infinity, isAnnounced = true } = {},
): Promise<Fetched> {
  const stored = whole(source);
  const mediaType = source === "plain stream" ? MEDIA_TYPE.ociLayer : MEDIA_TYPE.ociLayerGzip;
  const blob = { mediaType, digest: digestOf(stored), size: stored.length };
  const layers = queue<AnnouncedLayer>();
  const begun = new Set(isAnnounced ? await resumeCache.findPartial([diffId]) : []);
  await using outgoing = new OutgoingBlobs({
    offer,
    diffIds: [diffId],
    packing: { codec: commonCodec(["brotli"]) },
    begun,
    announce: (layer) => layers.push(layer),
  });
  const chunks = async function* (bytes: Buffer): AsyncGenerator<Buffer> {
    for (let at = 0; at < bytes.length; at += 50_000) yield bytes.subarray(at, at + 50_000);
  };
  const open: StoredBlob["open"] = ({ first, last } = { first: 0, last: Infinity }) =>
    Readable.from(chunks(stored.subarray(first, last + 1)), { objectMode: false });
  if (source === "blob") await outgoing.addStored(diffId, blob, { size: blob.size, open });
  else if (source === "plain stream") outgoing.addPlainStream(diffId, plain.length, chunks(plain)).catch(() => {});
  else outgoing.addStoredStream(diffId, blob, chunks(zipped)).catch(() => {});
  layers.end();

  await using registry = openEmbeddedRegistry({ runId: newRunId(), parent: cache, content: outgoing.content });
  const { signal } = new AbortController();
  const connect = (): Duplex => {
    const [client, peer] = duplexPair();
    registry.accept(peer);
    return client;
  };
  using client = new RegistryClient({ connect, credentials: registry.credentials, signal });
  const found: Fetched = { bytes: Buffer.alloc(0), received: 0, resumed: [] };
  const options: FetchOptions = {
    client,
    repository: "app",
    signal,
    resumeCache,
    onBytes(count) {
      found.received += count;
      if (found.received > breakAfter) throw Object.assign(new Error("the link is gone"), { code: "ECONNRESET" });
    },
    onStart: (_, bytes) => void (bytes > 0 && found.resumed.push(bytes)),
    progress: new FetchProgress(1, () => {}),
    limit: sizeLimit(limit),
  };
  if (how === "stream") {
    for await (const layer of streamLayers(layers, options)) found.bytes = await buffer(await layer.open());
  } else {
    await using spool = await openSpool({ XDG_CACHE_HOME: cache }, newRunId());
    for await (const { path } of fetchLayers(layers, [diffId], spool, options)) found.bytes = await readFile(path);
  }
  return found;
}

const sources: Source[] = ["plain stream", "stored stream", "blob"];
const routes = sources.flatMap((source) => (["file", "stream"] as const).map((how) => [source, how] as const));
const whole = (source: Source): Buffer => (source === "plain stream" ? plain : zipped);

describe.each(routes)("a layer that the sender reads from a %s, fetched as a %s,", (source, how) => {
  const blob = whole(source);

  test("is continued where it was interrupted, and only new bytes are counted", async () => {
    await expect(fetch(source, how, { breakAfter: 3 * MB })).rejects.toThrow("the link is gone");
    await resumeCache[Symbol.asyncDispose]();
    resumeCache = newRun();
    const { bytes, received, resumed } = await fetch(source, how);
    expect(bytes.equals(blob)).toBe(true);
    expect(resumed).toHaveLength(1);
    expect(resumed[0]).toBeGreaterThanOrEqual(2 * MB - 9);
    expect(received).toBe(blob.length - (resumed[0] ?? 0));
  });

  test("has only its last byte fetched if it is completely present", async () => {
    expect((await fetch(source, how)).bytes.equals(blob)).toBe(true);
    await resumeCache[Symbol.asyncDispose]();
    resumeCache = newRun();
    const { bytes, ...counts } = await fetch(source, how);
    expect(bytes.equals(blob)).toBe(true);
    expect(counts).toEqual({ received: 1, resumed: [blob.length - 1] });
  });

  test("counts its whole size against --max-size", async () => {
    await put(digestOf(blob), blob.subarray(0, MB));
    await expect(fetch(source, how, { limit: plain.length - 1 })).rejects.toThrow("larger than the");
    await resumeCache[Symbol.asyncDispose]();
    resumeCache = newRun();
    await put(digestOf(blob), blob.subarray(0, MB));
    expect((await fetch(source, how, { limit: plain.length })).bytes.equals(blob)).toBe(true);
  });
});

async function put(digest: string, content: Buffer): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeFile(join(folder, hexOf(digest)), content);
}

describe("an invalid partial file", () => {
  test("does not count against --max-size after its removal", async () => {
    await put(digestOf(zipped), Buffer.concat([zipped.subarray(0, 4 * MB), Buffer.alloc(10)]));
    expect((await fetch("blob", "file", { limit: plain.length })).bytes.equals(zipped)).toBe(true);
  });

  test("is removed immediately, so that a killed run does not leave it", async () => {
    await put(digestOf(zipped), Buffer.alloc(MB, zipped.subarray(0, 20)));
    await expect(fetch("blob", "stream")).rejects.toThrow(/cannot be decompressed|incorrect|invalid/);
    await vi.waitFor(async () => expect(await readdir(folder)).toEqual([]));
  });

  test("is removed, and the layer is fetched again if the sender can send it again", async () => {
    await put(digestOf(zipped), Buffer.alloc(MB, zipped.subarray(0, 20)));
    const { bytes, resumed } = await fetch("blob", "file");
    expect(bytes.equals(zipped)).toBe(true);
    expect(resumed).toEqual([MB]);
  });

  test.each([
    ["plain stream", "file"],
    ["stored stream", "file"],
  ] as const)("is removed, and reported, if the sender reads the layer from a %s", async (source, how) => {
    await put(digestOf(whole(source)), Buffer.alloc(MB));
    await expect(fetch(source, how)).rejects.toMatchObject({
      code: "not-verified",
      message: expect.stringContaining("the part of a layer that an earlier run received is invalid") as string,
    });
    await resumeCache[Symbol.asyncDispose]();
    expect(await readdir(join(folder, "..")).catch(() => [])).toEqual([]);
    resumeCache = newRun();
    expect((await fetch(source, how)).bytes.equals(whole(source))).toBe(true);
  });

  test.each(sources)("fails a streamed layer from a %s, and the next run starts from the beginning", async (source) => {
    await put(digestOf(whole(source)), Buffer.alloc(MB));
    await expect(fetch(source, "stream")).rejects.toThrow(/has the digest|incorrect header check/);
    expect(resumeCache.hasResumedInvalidFile).toBe(true);
    await resumeCache[Symbol.asyncDispose]();
    resumeCache = newRun();
    expect((await fetch(source, "stream")).bytes.equals(whole(source))).toBe(true);
  });
});

test.each(["file", "stream"] as const)(
  "skips the present bytes if the sender sends the whole layer: %s",
  async (how) => {
    await put(diffId, plain.subarray(0, MB));
    const { bytes, ...counts } = await fetch("plain stream", how, { isAnnounced: false });
    expect(bytes.equals(plain)).toBe(true);
    expect(counts).toEqual({ received: plain.length, resumed: [MB] });
  },
);

test("fetches the same layer in two runs at the same time", async () => {
  await put(diffId, plain.subarray(0, MB));
  const other = newRun();
  await other.take({ mediaType: MEDIA_TYPE.ociLayer, digest: diffId, size: plain.length });
  const { bytes, resumed } = await fetch("plain stream", "file");
  expect(bytes.equals(plain)).toBe(true);
  expect(resumed).toEqual([MB]);
  await resumeCache.forget();
  await other[Symbol.asyncDispose]();
  resumeCache = newRun();
  expect((await fetch("plain stream", "file")).resumed).toEqual([MB]);
});
