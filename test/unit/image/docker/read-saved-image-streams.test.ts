import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { describe, expect, test } from "vitest";
import { readSavedImage } from "../../../../src/image/docker/read-saved-image.ts";
import { type Digest } from "../../../../src/image/digest.ts";
import { InvalidImage } from "../../../../src/image/invalid-image.ts";
import { makeImage, savePodman } from "../make-image.ts";
import { makeTar } from "../tar/make-tar.ts";
import { chopped } from "../../pseudo-random.ts";
import { read, stream } from "./saved-image.ts";

const image = await makeImage([3000, 70_000, 200, 9000]);

test("the archive waits for the reader of a layer", async () => {
  const large = await makeImage([8_000_000, 100]);
  const tar = await makeTar(await savePodman(large));
  let given = 0;
  let taken = 0;
  const source = Readable.from(
    (function* () {
      for (const chunk of chopped(tar, 3, 8192)) {
        given += chunk.length;
        yield chunk;
      }
    })(),
    { objectMode: false },
  );
  const ahead: number[] = [];
  await readSavedImage(source, {
    diffIds: large.diffIds,
    wanted: new Set(large.diffIds),
    onLayer: async (_diffId, body) => {
      for await (const chunk of body) {
        taken += (chunk as Buffer).length;
        ahead.push(given - taken);
        await new Promise((resolve) => setImmediate(resolve));
      }
    },
  });
  expect(Math.max(...ahead)).toBeLessThan(200_000);
});

describe("the reader of a layer", () => {
  test("may leave it early: the other layers still arrive", async () => {
    const seen: Digest[] = [];
    const result = await readSavedImage(stream(await makeTar(await savePodman(image)), 5, 700), {
      diffIds: image.diffIds,
      wanted: new Set(image.diffIds),
      onLayer: async (diffId, body) => {
        seen.push(diffId);
        if (seen.length === 3) return;
        for await (const chunk of body) if (seen.length > 1 && (chunk as Buffer).length > 0) break;
      },
    });
    expect(seen).toEqual(image.diffIds);
    expect(result.config).toEqual(image.config);
  });

  test("may destroy the stream while it waits for more", async () => {
    const tar = await makeTar(await savePodman(image));
    const source = new Readable({ read() {} });
    source.push(tar.subarray(0, 1500));
    const seen: Digest[] = [];
    let left: Readable | undefined;
    const done = readSavedImage(source, {
      diffIds: image.diffIds,
      wanted: new Set(image.diffIds),
      onLayer: async (diffId, body) => {
        seen.push(diffId);
        if (seen.length > 1) return;
        left = body;
        body.resume();
        await new Promise((resolve) => setImmediate(resolve));
        body.destroy();
        setImmediate(() => {
          source.push(tar.subarray(1500));
          source.push(null);
        });
      },
    });
    expect((await done).unrecognised).toEqual([]);
    expect(seen).toEqual(image.diffIds);
    await new Promise((resolve) => setImmediate(resolve));
    expect(left?.closed).toBe(true);
  });

  test("may fail: its error is passed on, and the archive is destroyed", async () => {
    const source = stream(await makeTar(await savePodman(image)), 1, 600);
    const full = new Error("no space left on device");
    await expect(read(source, image, { onLayer: async () => await Promise.reject(full) })).rejects.toBe(full);
    expect(source.destroyed).toBe(true);
  });

  test("may fail on a wrong layer: the error is that of the layer", async () => {
    const entries = await savePodman({ ...image, layers: image.layers.with(1, image.layers[0] ?? Buffer.alloc(0)) });
    const onLayer = async (_diffId: Digest, body: Readable): Promise<void> => {
      for await (const _ of body);
    };
    const wrapped = async (diffId: Digest, body: Readable): Promise<void> =>
      await onLayer(diffId, body).catch((cause: unknown) => {
        throw new Error("cannot store it", { cause });
      });
    await expect(read(await makeTar(entries), image, { onLayer: wrapped })).rejects.toThrow(InvalidImage);
  });

  test("may ignore a wrong layer: the read fails nevertheless", async () => {
    const entries = await savePodman({ ...image, layers: image.layers.with(1, image.layers[0] ?? Buffer.alloc(0)) });
    const onLayer = async (_diffId: Digest, body: Readable): Promise<void> => {
      await pipeline(body, async (chunks) => {
        for await (const _ of chunks);
      }).catch(() => {});
    };
    await expect(read(await makeTar(entries), image, { onLayer })).rejects.toThrow(InvalidImage);
  });
});

describe("an interrupted stream", () => {
  const endless = (tar: Buffer): Readable => {
    const source = new Readable({ read() {} });
    source.push(tar);
    return source;
  };

  test("passes its own error on unchanged", async () => {
    const tar = await makeTar(await savePodman(image));
    const reset = Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" });
    const source = endless(tar.subarray(0, 10_000));
    const done = read(source, image);
    setImmediate(() => source.destroy(reset));
    await expect(done).rejects.toBe(reset);
  });

  test("fails with a message if it is closed without an error", async () => {
    const source = endless((await makeTar(await savePodman(image))).subarray(0, 10_000));
    const done = read(source, image);
    setImmediate(() => source.destroy());
    await expect(done).rejects.toThrow("its source was closed");
  });

  test.each([0, 700, 10_000])("ends by a signal after %i bytes", async (bytes) => {
    const abort = new AbortController();
    const source = endless((await makeTar(await savePodman(image))).subarray(0, bytes));
    const reason = new Error("interrupted");
    const done = read(source, image, { signal: abort.signal });
    setImmediate(() => abort.abort(reason));
    await expect(done).rejects.toBe(reason);
    expect(source.destroyed).toBe(true);
  });

  test("ends by a signal that is already aborted", async () => {
    const reason = new Error("interrupted");
    const source = stream(await makeTar(await savePodman(image)));
    await expect(read(source, image, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});
