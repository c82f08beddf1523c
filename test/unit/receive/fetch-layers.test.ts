import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { duplexPair, Readable, type Duplex } from "node:stream";
import { buffer } from "node:stream/consumers";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { FetchOptions } from "../../../src/receive/incoming-layer.ts";
import { fetchLayers, streamLayers } from "../../../src/receive/fetch-layers.ts";
import type { AnnouncedLayer } from "../../../src/conversation/messages.ts";
import { OutgoingBlobs } from "../../../src/send/outgoing-blobs.ts";
import { newRunId } from "../../../src/run/run-id.ts";
import { sizeLimit } from "../../../src/image/layer/size-limit.ts";
import { digestOf, hexOf } from "../../../src/image/digest.ts";
import { MEDIA_TYPE } from "../../../src/image/manifest.ts";
import { commonCodec } from "../../../src/packing/codecs.ts";
import { RegistryClient } from "../../../src/registry/registry-client.ts";
import type { StoredBlob } from "../../../src/registry/embedded/registry-content.ts";
import { openEmbeddedRegistry } from "../../../src/registry/embedded/server.ts";
import { ResumeCache } from "../../../src/store/resume-cache.ts";
import { openSpool } from "../../../src/run/spool.ts";
import { queue } from "../../../src/streams/queue.ts";

const MB = 1_000_000;
const plain = Buffer.concat([randomBytes(5 * MB), Buffer.alloc(MB)]);
const diffId = digestOf(plain);
const zipped = gzipSync(plain, { level: 1 });
const offer = { repository: "app", tag: "v1", credentials: { username: "u", password: "p" } };

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

const newRun = () => new ResumeCache({ env: { XDG_CACHE_HOME: cache }, run: newRunId() });

/** How a sender has the layer: read once while it passes, plain or as it is stored, or at hand as often as one likes. */
type Connect = "passing, plain" | "passing, stored" | "at hand";

interface Fetched {
  bytes: Buffer;
  /** That came over the wire, as the receiver counts. */
  come: number;
  continued: number[];
}

/**
 * Fetches the layer into a file, or as a stream. `breakAfter`: bytes after which the connection does. `isTold`: the sender hears that
 * a part of it is here.
 */
async function fetch(
  way: Connect,
  how: "file" | "stream",
  { breakAfter = Infinity, limit = Infinity, isTold = true } = {},
): Promise<Fetched> {
  const stored = whole(way);
  const mediaType = way === "passing, plain" ? MEDIA_TYPE.ociLayer : MEDIA_TYPE.ociLayerGzip;
  const blob = { mediaType, digest: digestOf(stored), size: stored.length };
  const layers = queue<AnnouncedLayer>();
  const begun = new Set(isTold ? await resumeCache.findPartial([diffId]) : []);
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
  if (way === "at hand") await outgoing.addStored(diffId, blob, { size: blob.size, open });
  else if (way === "passing, plain") outgoing.addPlainStream(diffId, plain.length, chunks(plain)).catch(() => {});
  else outgoing.addStoredStream(diffId, blob, chunks(zipped)).catch(() => {});
  layers.end();

  await using registry = openEmbeddedRegistry({ runId: newRunId(), parent: cache, content: outgoing.content });
  const { signal } = new AbortController();
  const connect = (): Duplex => {
    const [here, there] = duplexPair();
    registry.accept(there);
    return here;
  };
  using client = new RegistryClient({ connect, credentials: registry.credentials, signal });
  const found: Fetched = { bytes: Buffer.alloc(0), come: 0, continued: [] };
  const options: FetchOptions = {
    client,
    repository: "app",
    signal,
    resumeCache,
    onBytes(count) {
      found.come += count;
      if (found.come > breakAfter) throw Object.assign(new Error("the link is gone"), { code: "ECONNRESET" });
    },
    onContinued: (_, bytes) => found.continued.push(bytes),
    onLayer: () => {},
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

const ways: Connect[] = ["passing, plain", "passing, stored", "at hand"];
const routes = ways.flatMap((way) => (["file", "stream"] as const).map((how) => [way, how] as const));
const whole = (way: Connect): Buffer => (way === "passing, plain" ? plain : zipped);

describe.each(routes)("a layer that is %s, fetched as a %s", (way, how) => {
  const blob = whole(way);

  test("is continued where it broke off, and only what is new is counted", async () => {
    await expect(fetch(way, how, { breakAfter: 3 * MB })).rejects.toThrow("the link is gone");
    await resumeCache[Symbol.asyncDispose]();
    resumeCache = newRun();
    const { bytes, come, continued } = await fetch(way, how);
    expect(bytes.equals(blob)).toBe(true);
    expect(continued).toHaveLength(1);
    expect(continued[0]).toBeGreaterThanOrEqual(2 * MB - 9);
    expect(come).toBe(blob.length - (continued[0] ?? 0));
  });

  test("which is there as a whole is asked for its last byte", async () => {
    expect((await fetch(way, how)).bytes.equals(blob)).toBe(true);
    await resumeCache[Symbol.asyncDispose]();
    resumeCache = newRun();
    const { bytes, ...counts } = await fetch(way, how);
    expect(bytes.equals(blob)).toBe(true);
    expect(counts).toEqual({ come: 1, continued: [blob.length - 1] });
  });

  test("counts as a whole against --max-size", async () => {
    await put(digestOf(blob), blob.subarray(0, MB));
    await expect(fetch(way, how, { limit: plain.length - 1 })).rejects.toThrow("larger than the");
    await resumeCache[Symbol.asyncDispose]();
    resumeCache = newRun();
    await put(digestOf(blob), blob.subarray(0, MB));
    expect((await fetch(way, how, { limit: plain.length })).bytes.equals(blob)).toBe(true);
  });
});

async function put(digest: string, content: Buffer): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeFile(join(folder, hexOf(digest)), content);
}

describe("what an earlier run has left is not right", () => {
  test("it counts no more against --max-size when it has gone", async () => {
    await put(digestOf(zipped), Buffer.concat([zipped.subarray(0, 4 * MB), Buffer.alloc(10)]));
    expect((await fetch("at hand", "file", { limit: plain.length })).bytes.equals(zipped)).toBe(true);
  });

  test("it goes at once: a run that is killed now leaves nothing of it", async () => {
    await put(digestOf(zipped), Buffer.alloc(MB, zipped.subarray(0, 20)));
    await expect(fetch("at hand", "stream")).rejects.toThrow(/cannot be decompressed|incorrect|invalid/);
    await vi.waitFor(async () => expect(await readdir(folder)).toEqual([]));
  });

  test("it goes, and the layer is fetched anew where it can be", async () => {
    await put(digestOf(zipped), Buffer.alloc(MB, zipped.subarray(0, 20)));
    const { bytes, continued } = await fetch("at hand", "file");
    expect(bytes.equals(zipped)).toBe(true);
    expect(continued).toEqual([MB]);
  });

  test.each([
    ["passing, plain", "file"],
    ["passing, stored", "file"],
  ] as const)("where a layer that is %s cannot be had again, it goes, and that is said", async (way, how) => {
    await put(digestOf(whole(way)), Buffer.alloc(MB));
    await expect(fetch(way, how)).rejects.toMatchObject({
      code: "not-verified",
      message: expect.stringContaining("what an earlier run had received of a layer is not right") as string,
    });
    await resumeCache[Symbol.asyncDispose]();
    expect(await readdir(join(folder, "..")).catch(() => [])).toEqual([]);
    resumeCache = newRun();
    expect((await fetch(way, how)).bytes.equals(whole(way))).toBe(true);
  });

  test.each(ways)("a stream of one that is %s fails, and the next run begins anew", async (way) => {
    await put(digestOf(whole(way)), Buffer.alloc(MB));
    await expect(fetch(way, "stream")).rejects.toThrow(/has the digest|incorrect header check/);
    expect(resumeCache.hasResumedInvalidFile).toBe(true);
    await resumeCache[Symbol.asyncDispose]();
    resumeCache = newRun();
    expect((await fetch(way, "stream")).bytes.equals(whole(way))).toBe(true);
  });
});

test.each(["file", "stream"] as const)(
  "where all of it comes again, into a %s, what is here is read over",
  async (how) => {
    await put(diffId, plain.subarray(0, MB));
    const { bytes, ...counts } = await fetch("passing, plain", how, { isTold: false });
    expect(bytes.equals(plain)).toBe(true);
    expect(counts).toEqual({ come: plain.length, continued: [MB] });
  },
);

test("two runs at once do not disturb each other", async () => {
  await put(diffId, plain.subarray(0, MB));
  const other = newRun();
  await other.take({ mediaType: MEDIA_TYPE.ociLayer, digest: diffId, size: plain.length });
  const { bytes, continued } = await fetch("passing, plain", "file");
  expect(bytes.equals(plain)).toBe(true);
  expect(continued).toEqual([MB]);
  await resumeCache.forget();
  await other[Symbol.asyncDispose]();
  resumeCache = newRun();
  expect((await fetch("passing, plain", "file")).continued).toEqual([MB]);
});
