import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { AnnouncedLayer } from "../../../../src/conversation/messages.ts";
import type { EngineOfferOptions } from "../../../../src/send/from-engine/engine-offer-options.ts";
import { exportWithSave } from "../../../../src/send/from-engine/export-with-save.ts";
import { OutgoingBlobs } from "../../../../src/send/outgoing-blobs.ts";
import { newRunId } from "../../../../src/run/run-id.ts";
import { blobPath } from "../../../../src/image/oci/oci-layout.ts";
import { digestOf, type Digest } from "../../../../src/image/digest.ts";
import { MEDIA_TYPE, parseImageManifest, type Manifest } from "../../../../src/image/manifest.ts";
import { Failure } from "../../../../src/output/errors.ts";
import { unpack } from "../../../../src/packing/unpack.ts";
import { lazySpool } from "../../../../src/run/spool.ts";
import { attestedLayout } from "../../../engines/layouts.ts";
import {
  gzipped,
  index,
  LAYOUT,
  makeImage,
  ociBlobs,
  plain,
  saveLegacy,
  saveOci,
  type Pack,
  type TestImage,
} from "../../image/make-image.ts";
import { makeTar, type TestEntry } from "../../image/tar/make-tar.ts";
import { stream } from "../../image/docker/saved-image.ts";
import { AMD64, asPlatform } from "../../image/platforms.ts";

const disk = vi.hoisted(() => ({ left: Infinity }));
vi.mock(import("../../../../src/run/spool.ts"), async (original) => ({
  ...(await original()),
  // The test sets the free space of the disk.
  refuseWithoutSpoolSpace: async (_spool, size) => {
    if (size > disk.left) throw new Failure("no-space", "no room", { expected: "room" });
  },
}));

const image = await makeImage([3000, 70_000, 200, 9000]);
const [bottom = "", second = "", third = "", top = ""] = image.diffIds;
/** An image with a layer that is large enough for a delta. */
const large = await makeImage([600_000, 300]);

let cache: string;
beforeEach(async () => {
  disk.left = Infinity;
  cache = await mkdtemp(join(tmpdir(), "save-layers-"));
});
afterEach(async () => await rm(cache, { recursive: true }));

interface Case {
  of?: TestImage;
  wanted?: readonly Digest[];
  /** The manifest to preserve. */
  manifest?: Buffer;
  platform?: string;
  onlyPlatform?: boolean;
  /** The receiver has delta bases. */
  delta?: boolean;
}

/** Exports what an engine saves, for a receiver that reads each layer when it is announced. */
function save(archive: TestEntry[] | Buffer | Readable, options: Case = {}) {
  const { of = image, wanted = of.diffIds, manifest, platform = "linux/amd64", onlyPlatform = false } = options;
  const env = { XDG_CACHE_HOME: cache };
  const runId = newRunId();
  const deltaSpool = lazySpool(env, runId);
  const announced: AnnouncedLayer[] = [];
  const reading: Promise<[Digest, Buffer]>[] = [];
  const saveImageArgs: unknown[] = [];
  const offer = {
    repository: "r",
    tag: "t",
    layers: "announced" as const,
    credentials: { username: "u", password: "p" },
  };
  const read = async ({ diffId, digest, cutting }: AnnouncedLayer): Promise<[Digest, Buffer]> => {
    const delta = cutting && (await outgoing.content.delta?.("r", diffId));
    if (delta !== undefined) await buffer(unpack(delta.recipe()));
    const blob = await outgoing.content.blob("r", delta === undefined ? digest : diffId);
    const packed = blob?.packed?.(0).stream;
    return [diffId, await buffer(packed === undefined ? ((await blob?.open()) as Readable) : unpack(packed))];
  };
  const outgoing = new OutgoingBlobs({
    offer,
    diffIds: of.diffIds,
    packing: { codec: undefined },
    ...(options.delta && { deltaSpool }),
    announce(layer) {
      announced.push(layer);
      const layerRead = read(layer);
      layerRead.catch(() => {}); // awaited below
      reading.push(layerRead);
    },
  });
  const receiver = new AbortController();
  const saved = exportWithSave(outgoing, {
    engine: {
      async saveImage(...args: unknown[]) {
        saveImageArgs.push(args);
        if (archive instanceof Readable) return archive;
        return stream(Buffer.isBuffer(archive) ? archive : await makeTar(archive));
      },
    },
    env,
    image: { given: "app:v1" },
    info: { diffIds: of.diffIds, platform: asPlatform(platform) },
    want: { diffIds: wanted },
    manifest: manifest && parseImageManifest(manifest),
    onlyPlatform,
    runIds: [runId, runId],
    signal: receiver.signal,
  } as unknown as EngineOfferOptions);
  saved.catch(() => {}); // awaited below
  /** Files of blobs that are not yet identified, or not yet read. */
  const waitingFiles = async (): Promise<string[]> =>
    (await readdir(cache, { recursive: true })).filter((path) => path.includes("/unidentified-"));
  return {
    saved,
    announced,
    saveImageArgs,
    waitingFiles,
    outgoing,
    /** Returns the layers that the receiver has at the end, by diff ID. */
    async received(): Promise<Map<Digest, Buffer>> {
      await Promise.race([outgoing.content.manifest("r", "t"), saved]);
      return new Map(await Promise.all(reading));
    },
    async manifest(): Promise<Manifest> {
      const stored = await outgoing.content.manifest("r", "t");
      return JSON.parse(Buffer.from(stored?.bytes ?? []).toString()) as Manifest;
    },
    /** Ends the export, and checks that no file is left. */
    async end(): Promise<void> {
      receiver.abort(new Error("the receiver is done"));
      await outgoing[Symbol.asyncDispose]();
      await saved.catch(() => {});
      await deltaSpool[Symbol.asyncDispose]();
      expect((await readdir(cache, { recursive: true })).filter((path) => path !== "docker-over-ssh")).toEqual([]);
    },
  };
}

const entry = (content: Buffer): TestEntry => ({ name: blobPath(digestOf(content)), content });

/** An archive whose last entry identifies the blobs. */
function unidentifiedToTheEnd(of: TestImage, pack: Pack = gzipped) {
  const { blobs, manifest, descriptors } = ociBlobs(of, pack);
  const [config = Buffer.alloc(0), , ...layers] = blobs;
  const entries = [...layers, manifest.bytes, config].map(entry);
  return { entries: [...entries, index([manifest.descriptor]), LAYOUT], manifest, descriptors, layers };
}

describe("exports layers of a containerd store as they are stored:", () => {
  test.each([
    ["identified at the end", unidentifiedToTheEnd(image).entries],
    ["in the order in which engines write them", saveOci(image, gzipped)],
    ["with attestations", attestedLayout({ "linux/amd64": image, "linux/arm64": large }, "app:v1")],
  ])("%s", async (_, entries) => {
    const { descriptors, layers } = unidentifiedToTheEnd(image);
    const run = save(entries);
    const received = await run.received();
    expect([...received.keys()].toSorted()).toEqual(image.diffIds.toSorted());
    for (const [at, diffId] of image.diffIds.entries())
      expect(received.get(diffId)?.equals(layers[at] ?? Buffer.alloc(0))).toBe(true);
    const { config, layers: named } = await run.manifest();
    expect(config.digest).toBe(digestOf(image.config));
    expect(named).toEqual(descriptors);
    await run.end();
  });

  test("only the wanted layers, and only these stay in files", async () => {
    const { entries, descriptors } = unidentifiedToTheEnd(image);
    const run = save(entries, { wanted: [second, top] });
    expect([...(await run.received()).keys()]).toEqual([second, top]);
    expect(await run.waitingFiles()).toHaveLength(2);
    // A range, as for a partial file.
    const blob = await run.outgoing.content.blob("r", descriptors[3]?.digest ?? "");
    const part = await buffer((await blob?.open({ first: 10, last: 19 })) as Readable);
    expect(part.equals(gzipped(image.layers[3] ?? expect.fail()).blob.subarray(10, 20))).toBe(true);
    await run.end();
  });

  test("a large layer, which is cut when its recipe is requested, also from a file", async () => {
    const run = save(unidentifiedToTheEnd(large).entries, { of: large, delta: true });
    const received = await run.received();
    expect(received.get(large.diffIds[0] ?? "")?.equals(large.layers[0] ?? Buffer.alloc(0))).toBe(true);
    expect(run.announced.map(({ cutting, digest }) => [cutting, digest])).toEqual([
      ["leaves-blob", digestOf(gzipped(large.layers[0] ?? expect.fail()).blob)],
      [undefined, digestOf(gzipped(large.layers[1] ?? expect.fail()).blob)],
    ]);
    await run.end();
  });

  test("plain layers, which are packed for the transfer; the export ends when they have been read", async () => {
    for (const entries of [
      saveOci(image, plain),
      await saveLegacy(image),
      unidentifiedToTheEnd(image, plain).entries,
    ]) {
      const run = save(entries, { wanted: [bottom, third] });
      expect([...(await run.received()).keys()].toSorted()).toEqual([bottom, third].toSorted());
      await run.saved;
      await run.end();
    }
  });

  test("those of the inspected platform, if several platforms have the same layers", async () => {
    const arm = await makeImage([3000, 70_000, 200, 9000], { architecture: "arm64" });
    const entries = attestedLayout({ "linux/arm64": arm, "linux/amd64": image }, "app:v1");
    for (const [platform, { config }] of [
      ["linux/amd64", image],
      ["linux/arm64", arm],
    ] as const) {
      const run = save(entries, { platform });
      await run.received();
      expect((await run.manifest()).config.digest).toBe(digestOf(config));
      expect(run.saveImageArgs).toEqual([["app:v1", { signal: expect.any(AbortSignal) as AbortSignal }]]);
      await run.end();
    }
    const only = save(entries, { onlyPlatform: true });
    await only.received();
    expect(only.saveImageArgs).toMatchObject([["app:v1", { platform: AMD64 }]]);
    await only.end();
  });
});

describe("for a manifest to preserve", () => {
  const notAsStored = {
    code: "not-verified",
    message: "the engine does not return the layers of app:v1 as it stores them",
  };
  const { manifest, descriptors } = ociBlobs(image, gzipped);

  test("recognises its blobs in the archive, and writes none to a file", async () => {
    for (const entries of [unidentifiedToTheEnd(image).entries, saveOci(image, gzipped)]) {
      const run = save(entries, { manifest: manifest.bytes, wanted: [bottom, top] });
      await run.received();
      expect(new Set(run.announced.map(({ digest }) => digest))).toEqual(
        new Set([descriptors[0]?.digest, descriptors[3]?.digest]),
      );
      await run.saved;
      await run.end();
    }
  });

  test.each([
    ["plain", saveOci(image, plain)],
    ["some of them", saveOci(image, (layer) => (digestOf(layer) === third ? plain(layer) : gzipped(layer)))],
  ])("rejects the same layers as different blobs: %s", async (_, entries) => {
    const run = save(entries, { manifest: manifest.bytes });
    await expect(run.received()).rejects.toMatchObject(notAsStored);
    await run.end();
  });

  test("rejects the blobs of another platform with the same layers", async () => {
    const arm = await makeImage([3000, 70_000, 200, 9000], { architecture: "arm64" });
    const run = save(saveOci(arm, gzipped), { manifest: manifest.bytes });
    await expect(run.received()).rejects.toMatchObject(notAsStored);
    await run.end();
  });
});

describe("leaves no file after", () => {
  const { entries, layers } = unidentifiedToTheEnd(image);

  test("a wanted blob without room on the disk", async () => {
    disk.left = (layers[1]?.length ?? 0) - 1;
    const run = save(entries);
    await expect(run.received()).rejects.toMatchObject({ code: "no-space" });
    await run.end();
  });

  test("an unwanted blob without room on the disk, which is not a failure", async () => {
    disk.left = (layers[1]?.length ?? 0) - 1;
    const run = save(entries, { wanted: [bottom, third] });
    expect([...(await run.received()).keys()]).toEqual([bottom, third]);
    await run.end();
  });

  test("a failure because there is no usable cache folder", async () => {
    await writeFile(join(cache, "docker-over-ssh"), "");
    const run = save(entries);
    await expect(run.received()).rejects.toMatchObject({ code: "no-space" });
    await run.end();
  });

  test("layers of the image that the archive lacks", async () => {
    const without = entries.filter(({ name }) => name !== entry(layers[1] ?? expect.fail()).name);
    const run = save(without);
    await expect(run.received()).rejects.toMatchObject({
      code: "transfer-failed",
      message: "`docker save` of app:v1 lacks 1 of its layers",
    });
    await run.end();
    // Other wanted layers do not need it.
    const other = save(without, { wanted: [bottom, top] });
    expect([...(await other.received()).keys()]).toEqual([bottom, top]);
    await other.end();
  });

  test("a layer in an unknown form, which is not reported as missing", async () => {
    const odd: Pack = (layer) => ({ blob: Buffer.concat([Buffer.from("odd"), layer]), mediaType: MEDIA_TYPE.ociLayer });
    const run = save(unidentifiedToTheEnd(image, odd).entries);
    await expect(run.received()).rejects.toMatchObject({
      code: "transfer-failed",
      message: "`docker save` of app:v1 has 4 layers in a form that matches no diff ID",
    });
    await run.end();
  });

  test("an archive that ends before the blobs are identified", async () => {
    const tar = await makeTar(entries);
    const run = save(tar.subarray(0, 512 * 12));
    await expect(run.received()).rejects.toThrow("not a tar archive, or a damaged one");
    await run.end();
  });

  test("a blob that does not match its name", async () => {
    const name = entry(layers[2] ?? expect.fail()).name;
    const run = save(
      entries.map((one) => (one.name === name ? { name, content: gzipped(Buffer.from("x")).blob } : one)),
    );
    await expect(run.received()).rejects.toThrow("has the digest");
    await run.end();
  });

  test("a receiver that leaves early", async () => {
    const tar = await makeTar(entries);
    const source = new Readable({ read() {} });
    source.push(tar.subarray(0, tar.length - 5000));
    const run = save(source);
    await vi.waitUntil(async () => (await run.waitingFiles()).length > 2);
    await run.end();
    await expect(run.saved).rejects.toThrow("the receiver is done");
    expect(source.destroyed).toBe(true);
  });
});
