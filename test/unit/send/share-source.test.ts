import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readPullRequest } from "../../../src/commands/pull.ts";
import { parseReference } from "../../../src/image/reference.ts";
import { outputTo } from "../../../src/output/output.ts";
import { parseCompressOption } from "../../../src/packing/compress-option.ts";
import { receive } from "../../../src/pull.ts";
import { send } from "../../../src/push.ts";
import { layoutTarget } from "../../../src/receive/into-file/layout-target.ts";
import { serveFromEmbeddedRegistry } from "../../../src/send/serve-from-embedded-registry.ts";
import type { OfferOptions } from "../../../src/send/found-image.ts";
import type { ServedImage } from "../../../src/send/served-image.ts";
import { shareSource, type SharedSource } from "../../../src/send/shared/share-source.ts";
import { runBothSides } from "../../../src/stdio-tunnel/in-process.ts";
import { look, whole } from "../command-line/images.ts";
import { makeImage } from "../image/make-image.ts";
import { AMD64 } from "../image/platforms.ts";

const image = await makeImage([3000, 2_000_000, 700, 40_000]);
let folder: string;
/** The layers of each export, by their position in the image. */
let exports: number[][];
let warnings: string[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "share-"));
  [exports, warnings] = [[], []];
});
afterEach(async () => await rm(folder, { recursive: true }));

const output = outputTo((event) => {
  if (event.type === "warning") warnings.push(event.code);
});
/** @param cache the path of the cache folder: each side has its own */
const contextOf = (signal: AbortSignal, cache: string) => ({
  output,
  signal,
  env: { XDG_CACHE_HOME: join(folder, cache) },
});

/** A source that yields each wanted layer once in each export, like an engine that saves an image. */
function savingSource({ breaksAt = Infinity } = {}): SharedSource {
  const served = async ({ want }: OfferOptions): Promise<ServedImage> => ({
    image: parseReference("app:v1"),
    diffIds: image.diffIds,
    async exportLayers(outgoing) {
      exports.push(want.diffIds.map((diffId) => image.diffIds.indexOf(diffId)));
      for (const [index, layer] of image.layers.entries()) {
        const diffId = image.diffIds[index] ?? "";
        if (index === breaksAt) throw new Error("the engine is gone");
        if (want.diffIds.includes(diffId)) await outgoing.addPlainStream(diffId, layer.length, Readable.from([layer]));
      }
      outgoing.finish(image.config);
    },
    wholeImage: () => Promise.reject(new Error("not here")),
  });
  const source = {
    address: "a fake",
    check: async () => {},
    find: async () => ({
      diffIds: image.diffIds,
      platform: AMD64,
      served,
      offer: async (options: OfferOptions) => await serveFromEmbeddedRegistry(await served(options), options),
    }),
    [Symbol.asyncDispose]: async () => {},
  };
  return shareSource(source, { env: { XDG_CACHE_HOME: join(folder, "cache") }, output });
}

/** Sends the image to a layout. */
async function sendTo(source: SharedSource, host: string, compress?: string): Promise<void> {
  const { signal } = new AbortController();
  await using target = await layoutTarget({ kind: "oci", given: "", path: join(folder, host) });
  const option = compress === undefined ? undefined : parseCompressOption(compress);
  await runBothSides(
    {
      async sender(tunnel, stop) {
        await send(tunnel, source, { connection: { kind: "spawned" }, compress: option }, contextOf(stop, "cache"));
      },
      async receiver(tunnel, stop) {
        await receive(
          tunnel,
          target,
          readPullRequest("app:v1", { kind: "spawned" }, {}, {}),
          contextOf(stop, "theirs"),
        );
      },
    },
    { tool: "0", signal, explain: (error) => error },
  );
}

test("exports an image once for several receivers with several codecs, and for a later receiver", async () => {
  const source = savingSource();
  await Promise.all([sendTo(source, "a"), sendTo(source, "b"), sendTo(source, "c", "gzip:1")]);
  await sendTo(source, "d", "none");
  await source[Symbol.asyncDispose]();
  for (const host of ["a", "b", "c", "d"])
    expect(await look("oci", join(folder, host), "app:v1")).toEqual(whole(image));
  expect(exports).toEqual([[0, 1, 2, 3]]);
});

test("warns once if there is no room for files, and exports the image for each receiver", async () => {
  await writeFile(join(folder, "cache"), "not a folder");
  const source = savingSource();
  await sendTo(source, "a");
  await sendTo(source, "b");
  await source[Symbol.asyncDispose]();
  for (const host of ["a", "b"]) expect(await look("oci", join(folder, host), "app:v1")).toEqual(whole(image));
  expect(exports).toHaveLength(2);
  expect(warnings.filter((code) => code === "not-shared")).toHaveLength(1);
  expect(source.noSpace).toMatchObject({ code: "no-folder" });
});

test("fails the receivers that wait for an export that fails, and starts another for the next receiver", async () => {
  const source = savingSource({ breaksAt: 2 });
  const both = await Promise.allSettled([sendTo(source, "a"), sendTo(source, "b")]);
  expect(both.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  await expect(sendTo(source, "c")).rejects.toThrow("the engine is gone");
  await source[Symbol.asyncDispose]();
  expect(exports).toHaveLength(2);
});
